"""The phases of a training step, timed separately: sample, objective, gradient, encoder backward, update.

Every round is a whole training step, of which the timer counts one phase; on the accelerator if there is one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import pytest
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from phases import DEVICE, PhaseTimer

PHASES = {phase: PhaseTimer(phase) for phase in ("sample", "objective", "gradient", "encoder_backward", "update")}
ROUNDS, LEAST, SECONDS, WARM = 10, 3, 0.15, 2


@functools.lru_cache(maxsize=1)
def warm_step(name: str, arch: str) -> tuple[Callable[[PhaseTimer], object], int] | str:
    """A warmed-up training step and its number of rounds in SECONDS, from LEAST to ROUNDS; or why it is unsupported."""
    task, timer = MnistVae(arch=arch, device=DEVICE), PhaseTimer("sample")
    x = next(task.batches(stream(0, "data", DEVICE)))
    try:
        step = TrainStep(task, estimator(name, task.spec).to(DEVICE), seed=0)
        for _ in range(WARM):
            start = time.perf_counter()
            step(x, timer.timeline)
            timer()
    except Unsupported as reason:
        return str(reason)
    rounds = int(SECONDS / (time.perf_counter() - start))
    return lambda timer: step(x, timer.timeline), max(LEAST, min(ROUNDS, rounds))


@pytest.mark.parametrize(
    "timer",
    [pytest.param(timer, id=name, marks=pytest.mark.benchmark(timer=timer)) for name, timer in PHASES.items()],
)
@pytest.mark.parametrize("name", [plugin.name for plugin in ESTIMATORS.builtin.values()])
@pytest.mark.parametrize("arch", ["nonlinear", "categorical"])
def test_core_step(benchmark: Callable, arch: str, name: str, timer: PhaseTimer) -> None:
    found = warm_step(name, arch)
    if isinstance(found, str):
        pytest.skip(found)
    step, rounds = found
    benchmark.group = f"{timer.phase}, {arch}"
    benchmark.pedantic(step, args=(timer,), rounds=rounds, iterations=1)
