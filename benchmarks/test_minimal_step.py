"""A training step of ours over a hand-written one; both are first shown to give the same loss and gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from minimal_steps import Relax, minimal_loss, minimal_step
from pairing import paired_ratio

CASES = [
    *(("nonlinear", name) for name in ("reinforce", "rloo:n=4", "disarm", "straight-through", "rebar", "relax")),
    *((arch, name) for arch in ("nonlinear", "categorical") for name in ("gumbel-softmax", "reinmax")),
]


@pytest.mark.parametrize(("arch", "name"), CASES)
def test_step_over_minimal(benchmark: Callable, arch: str, name: str) -> None:
    task = MnistVae(arch=arch)
    x = next(task.batches(stream(0, "data")))
    ours, loss_of = TrainStep(task, estimator(name, task.spec), seed=0), minimal_loss(name, arch)
    if isinstance(loss_of, Relax):
        free = ours.estimator.free
        loss_of.hidden.load_state_dict({"weight": free.weights[0], "bias": free.biases[0]})
    minimal, vae = minimal_step(task, loss_of, stream(0, "sample"))
    torch.testing.assert_close(ours(x), minimal(x), rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(ours.vae.parameters(), vae.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    ratio = paired_ratio(lambda: ours(x), lambda: minimal(x))
    benchmark.group = f"training step over a minimal one, {arch}"
    benchmark.extra_info["over_minimal"], benchmark.extra_info["upper_limit"] = asdict(ratio), ratio.hi
    benchmark.pedantic(ours, args=(x,), rounds=6, iterations=1)
