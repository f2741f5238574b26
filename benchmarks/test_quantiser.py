"""The EMA quantiser (forward, backward and update) over a hand-written one, and another package's over ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec

import pytest
import torch
from dvae_bench import Codebook, Encodings, LatentSpec, estimator
from minimal_vq import BATCH, BETA, CODES, DECAY, EPS, SITES, WIDTH, MinimalEma, peer_step
from pairing import paired_ratio
from torch import Tensor


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ours(x: Tensor, w: Tensor, codebook: Codebook) -> Callable[[], None]:
    spec = LatentSpec.encodings(SITES, WIDTH, CODES)
    quantiser = estimator(f"vq-ema:beta={BETA},decay={DECAY},eps={EPS}", spec).train()

    def step() -> None:
        loss = quantiser(lambda z: (z * w).sum((-2, -1)), Encodings(x, codebook)).mean()
        x.grad = None
        loss.backward()

    return step


@pytest.fixture
def layer() -> tuple[Tensor, Tensor, Tensor]:
    """x, which requires gradients, the weights w of the loss, and a codebook."""
    x, w = (normal(BATCH, SITES, WIDTH, seed=seed) for seed in (0, 1))
    return x.requires_grad_(), w, normal(CODES, WIDTH, seed=2)


def test_ema_layer_over_minimal(benchmark: Callable, layer: tuple[Tensor, Tensor, Tensor]) -> None:
    x, w, vectors = layer
    codebook, other = Codebook(vectors), x.detach().clone().requires_grad_()
    step, minimal = ours(x, w, codebook), MinimalEma(other, w, vectors.clone())
    for _ in range(3):
        step()
        minimal()
        torch.testing.assert_close(x.grad, other.grad)
        torch.testing.assert_close(codebook.vectors.detach(), minimal.codebook)
    ratio = paired_ratio(step, minimal)
    benchmark.group = f"EMA quantiser, {BATCH * SITES} vectors x {WIDTH}, {CODES} codes"
    benchmark.extra_info["over_minimal"], benchmark.extra_info["upper_limit"] = asdict(ratio), ratio.hi
    benchmark.pedantic(step, rounds=20, iterations=1)


def test_ema_layer_of_a_peer(benchmark: Callable, layer: tuple[Tensor, Tensor, Tensor]) -> None:
    if find_spec("vector_quantize_pytorch") is None:
        pytest.skip("vector-quantize-pytorch is not installed (extra `peers`)")
    x, w, vectors = layer
    step, theirs = ours(x, w, Codebook(vectors)), peer_step(x, w, vectors.clone())
    benchmark.group = f"EMA quantiser, {BATCH * SITES} vectors x {WIDTH}, {CODES} codes"
    benchmark.extra_info["over_ours"] = asdict(paired_ratio(theirs, step))
    benchmark.pedantic(theirs, rounds=20, iterations=1)
