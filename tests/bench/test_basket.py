"""A basket measures any estimators at one point of a training run, and changes nothing of the run."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dvae_bench.bench.collectors.basket import Basket as Collector
from dvae_bench.bench.report.rows import finished, prepare
from dvae_bench.bench.sources.settings import TrainSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.basket import Basket, block_means
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.point import Point
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.estimators import estimator
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.tiny_vae import trained
from scipy.stats import sem
from tiny import TRAINING

SETTINGS = TrainSettings(variance_draws=256, reference_draws=2048, basket_tuning=20)
NAMES = ("exact", "rloo:n=2", "rebar", "straight-through", "multisample", "arsm")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The exact gradient, which is enumerated at every draw, takes fewer of them."""
    vae, x = trained("mnist-5k")
    settings = (replace(SETTINGS, basket=NAMES[1:]), replace(SETTINGS, basket=NAMES[:1], variance_draws=16))
    baskets = [Basket(each, vae.layers).measure(copy.deepcopy(vae), x, stream(0, "basket")) for each in settings]
    return baskets[0] | baskets[1]


class TestMeasure:
    def test_every_estimator_is_measured_or_says_why_not(self, found: dict) -> None:
        assert set(found) == set(NAMES) and "categorical" in found["arsm"]
        assert set(found["rebar"]) == {"var_cut", "var_encoder", "bias_reference", "bias_encoder"}
        assert set(found["multisample"]) == {"var_cut", "var_encoder"}, "a bound's gradient is another"

    @pytest.mark.parametrize("metric", ["bias_reference", "bias_encoder"])
    def test_a_bias_is_seen_where_there_is_one(self, found: dict, metric: str) -> None:
        """Fixed seed; that an interval at 95 % misses 0 for three unbiased ones happens in 8 % of seeds at most."""
        assert found["straight-through"][metric].lo > 0.05
        assert all(found[name][metric].lo == 0 for name in ("exact", "rloo:n=2", "rebar"))

    def test_what_draws_nothing_has_no_variance(self, found: dict) -> None:
        assert found["exact"]["var_cut"].max() < 1e-8 < found["rloo:n=2"]["var_cut"].mean()

    def test_the_variance_is_that_of_the_tuned_estimator(self) -> None:
        """Less than before tuning by 4.5 standard errors: a third of it."""
        vae, x = trained("mnist-5k")
        settings = replace(SETTINGS, basket=("rebar",), reference_draws=64)
        draws = []
        for steps in (0, 300):
            basket = Basket(replace(settings, basket_tuning=steps), vae.layers)
            draws.append(basket.measure(copy.deepcopy(vae), x, stream(0, "basket"))["rebar"]["var_encoder"])
        (untuned, tuned), (before, after) = (map(np.mean, draws), map(sem, draws))
        assert untuned - tuned > 4.5 * math.hypot(before, after)


def test_a_wrong_name_ends_before_the_first_step() -> None:
    task = MnistVae(arch="linear", batch=8)
    with pytest.raises(UsageError, match="nearest: rloo"):
        train(task, estimator("rloo", task.spec), replace(TRAINING, basket=("rlooo",)), 0, lambda fraction: None)


def test_blocks_are_means_of_equally_many_draws() -> None:
    draws = torch.arange(14.0).view(7, 2)
    assert torch.equal(block_means(draws, 3), torch.stack([draws[:2].mean(0), draws[2:4].mean(0), draws[4:6].mean(0)]))
    assert torch.equal(block_means(draws, 9), draws)


def test_a_basket_leaves_the_trajectory_alone() -> None:
    task, curves = MnistVae(arch="linear", batch=8), []
    for basket in ((), ("rebar", "reinforce-ema", "arsm")):
        rebar = estimator("rebar", task.spec)
        curves.append(train(task, rebar, replace(TRAINING, basket=basket), 0, lambda fraction: None))
    for one, other in zip(*curves, strict=True):
        assert one.basket == {} and set(other.basket) == {"rebar", "reinforce-ema", "arsm"}
        for metric, samples in one.metrics.items():
            again = other.metrics[metric]
            assert repr(again) == repr(samples) if isinstance(samples, Quantity) else np.array_equal(again, samples)


def test_rows_carry_the_estimators_name_and_stay_out_of_curves() -> None:
    measured = {"var_cut": np.array([1.0, 3.0]), "bias_encoder": Quantity(0.5, 0.1, 0.3, 0.7)}
    rows = list(Collector().rows([Point(7, 1.0, {}, basket={"rebar": measured, "arsm": "not these latents"})]))
    assert [(row["group"], row["metric"], row["value"]) for row in rows[:2]] == [
        ("rebar", "var_cut", 2.0),
        ("rebar", "bias_encoder", 0.5),
    ]
    assert rows[2]["status"] == "unsupported" and math.isnan(rows[2]["value"]) and rows[2]["step"] == 7
    identity = {"estimator": "rloo", "task": "mnist-vae", "data": "", "seed": 0, "source": "steps", "device": "cpu"}
    stored = prepare(pd.DataFrame([identity | row for row in rows]))
    assert finished(stored, "var_cut").empty
    assert len(finished(stored.assign(group=""), "var_cut")) == 1
