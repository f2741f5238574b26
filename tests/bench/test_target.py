"""Time to target: that of the first evaluation that reaches it, or censored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from dvae_bench.bench.collectors.target import Target
from dvae_bench.bench.collectors.training import Training
from dvae_bench.bench.rows import Row
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.point import Point
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.estimators import estimator
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from tiny import TRAINING

CURVE = [(10, 1.5, -200.0, 20), (20, 3.0, -150.0, 40), (30, 4.5, -120.0, 60)]


def rows(target: float | None, curve: list[tuple[int, float, float, int]] = CURVE) -> dict[str, Row]:
    extra = {} if target is None else {"target_elbo": Quantity(target)}
    points = [Point(s, t, {"elbo_test": np.array([elbo - 1, elbo + 1]), **extra}, n) for s, t, elbo, n in curve]
    return {row["metric"]: row for row in Target().rows(points)}


@pytest.mark.parametrize(("target", "step", "seconds", "evaluations"), [
    (-150.0, 20, (3.0, 1.5), (40, 20)),
    (-130.0, 30, (4.5, 3.0), (60, 40)),
    (-300.0, 10, (1.5, 0.0), (20, 0)),
])  # fmt: skip
def test_the_target_is_reached_at_the_first_evaluation_above_it(
    target: float, step: int, seconds: tuple[float, float], evaluations: tuple[int, int]
) -> None:
    found = rows(target)
    for metric, (value, lo) in (("seconds_to_target", seconds), ("evaluations_to_target", evaluations)):
        line = found[metric]
        assert (line["value"], line["lo"], line["hi"]) == (value, lo, value)
        assert line["step"] == step and line["status"] == "ok"


@pytest.mark.parametrize("curve", [CURVE, [*CURVE[:2], (30, 4.5, math.nan, 60)]])
def test_a_target_that_is_not_reached_is_censored(curve: list[tuple[int, float, float, int]]) -> None:
    for line, spent in zip(rows(-100.0, curve).values(), (4.5, 60), strict=True):
        assert (line["value"], line["lo"], line["hi"]) == (spent, spent, math.inf)
        assert line["status"] == "censored" and "did not reach -100 in 30 steps" in line["reason"]


def test_there_are_no_rows_without_a_target_or_a_curve() -> None:
    assert rows(None) == {} and rows(-100.0, []) == {}


@pytest.mark.parametrize(("name", "each"), [("rloo:n=4", 4), ("disarm", 2), ("gumbel-softmax", 1)])
def test_training_counts_evaluations(name: str, each: int) -> None:
    task, settings = MnistVae(arch="linear", batch=8), replace(TRAINING, steps=4, evaluations=2, target_elbo=-1e4)
    points = train(task, estimator(name, task.spec), settings, 0, lambda fraction: None)
    assert [point.evaluations for point in points] == [2 * each, 4 * each]
    found = {row["metric"]: row for row in Target().rows(points)}
    assert found["evaluations_to_target"]["value"] == 2 * each and found["seconds_to_target"]["value"] > 0
    stated = [row for row in Training().rows(points) if row["metric"] == "target_elbo"]
    assert [row["value"] for row in stated] == [-1e4, -1e4] and stated[0]["unit"] == "nats"
