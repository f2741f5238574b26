"""The training loop without evaluation, over the bare step and over a step of the deterministic autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import count

import pytest
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.sources.training.trajectory import Trajectory
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from pairing import paired_ratio
from test_training_step import floor_step

STEPS, MANY = 1_000_000, 200


def looping(task: MnistVae) -> Callable[[], object]:
    run, steps = Trajectory(task, estimator("reinforce", task.spec), STEPS, seed=0), count(1)
    return lambda: run.advance(next(steps))


@pytest.mark.parametrize("arch", ["linear", "nonlinear", "hooper"])
def test_loop_over_bare_step(benchmark: Callable, arch: str) -> None:
    """Both train on the next minibatch; the loop also follows a schedule and averages gradients.

    Also relative to the step on one fixed minibatch.
    """
    task = MnistVae(arch=arch, schedule="cosine", warmup=100)
    bare, data = TrainStep(task, estimator("reinforce", task.spec), seed=0), task.batches(stream(0, "data"))
    loop, x = looping(task), next(data)
    benchmark.group = "training loop over the bare step"
    benchmark.extra_info["over_bare"] = asdict(paired_ratio(loop, lambda: bare(next(data)), MANY))
    benchmark.extra_info["over_one_minibatch"] = asdict(paired_ratio(loop, lambda: bare(x), MANY))
    benchmark.pedantic(loop, rounds=6, iterations=1)


def test_epoch_over_floor(benchmark: Callable) -> None:
    """REINFORCE on the nonlinear network over encoder, squash, decoder and fused Adam, on as many minibatches."""
    task = MnistVae(arch="nonlinear")
    data = task.batches(stream(0, "data"))
    loop, floor = looping(task), floor_step(task)
    benchmark.group = "training loop over the floor"
    benchmark.extra_info["over_floor"] = asdict(paired_ratio(loop, lambda: floor(next(data)), MANY))
    benchmark.pedantic(loop, rounds=6, iterations=1)
