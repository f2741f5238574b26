"""A training step of each estimator over the deterministic autoencoder step of the same network (the floor)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict

import pytest
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from floor_steps import floor_step
from pairing import paired_ratio

ARCHITECTURES = ("linear", "nonlinear", "categorical")
NAMES = [*(p.name for p in ESTIMATORS.builtin.values()), "rloo:n=4"]
CASES = [
    *itertools.product(NAMES, ARCHITECTURES),
    *itertools.product(("reinforce", "disarm", "straight-through", "rebar"), ("two-layer-linear",)),
]


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
