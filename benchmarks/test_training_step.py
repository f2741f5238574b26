"""A training step of each estimator over the deterministic autoencoder step of the same network (the floor)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from pairing import paired_ratio
from torch.nn.functional import binary_cross_entropy_with_logits

ARCHITECTURES = ("linear", "nonlinear", "categorical")
NAMES = [*(p.name for p in ESTIMATORS.builtin.values()), "rloo:n=4"]
CASES = [
    *itertools.product(NAMES, ARCHITECTURES),
    *itertools.product(("reinforce", "disarm", "straight-through", "rebar"), ("two-layer-linear",)),
]


def floor_step(task: MnistVae) -> Callable[[torch.Tensor], None]:
    """Encoder, squash, decoder, cross-entropy, backward, fused Adam: no sampling, no KL. So in each layer, whose data
    are the squashed values of the one before."""
    vae = task.model(0)
    optimizer = task.make_optimizer(vae)

    def loss(vae: Vae, x: torch.Tensor) -> torch.Tensor:
        z = vae.latent(vae.encode(x)).mean
        logits = vae.decoder(z.flatten(-len(vae.spec.event_shape)))
        own = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return own if vae.deeper is None else own + loss(vae.deeper, z)

    def step(x: torch.Tensor) -> None:
        value = loss(vae, x).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_step(benchmark: Callable, name: str, arch: str) -> None:
    task = MnistVae(arch=arch)
    x = next(task.batches(stream(0, "data")))
    try:
        step = TrainStep(task, estimator(name, *task.layers), seed=0)
    except Unsupported as reason:
        pytest.skip(str(reason))
    benchmark.group = f"training step, {arch}"
    floor = floor_step(task)
    benchmark.extra_info["over_floor"] = asdict(paired_ratio(lambda: step(x), lambda: floor(x)))
    benchmark.pedantic(step, args=(x,), rounds=6, iterations=1)
