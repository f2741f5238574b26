"""The ranking under a Boltzmann prior: the rates it chooses, the order of its trainings, and what its section says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import boltzmann_ranking
import numpy as np
import pandas as pd
import pytest
from pages import boltzmann, reference
from pages.boltzmann import CHOICE, EPOCH, NAMES, PRIORS, RATES, SEEDS, chosen, task

Elbo = Callable[[str, str, float, int], float]
"""Estimator, prior, rate and seed -> test ELBO."""


def rows(elbo: Elbo, seeds: Iterable[int] = (*SEEDS, CHOICE), length: int = 20) -> pd.DataFrame:
    """What the script keeps of all trainings at these seeds."""
    found = [
        {"estimator": name, "task": task(prior, rate), "seed": seed, "metric": metric, "value": value, "se": 1.0}
        for name in NAMES
        for prior in PRIORS
        for rate in RATES
        for seed in seeds
        for metric, value in (("elbo_test", elbo(name, prior, rate, seed)), ("seconds", 1.0), ("log_z_gap", -0.02))
    ]
    cell = {"data": "mnist", "device": "cpu", "source": "steps", "group": "", "status": "ok", "reason": ""}
    return pd.DataFrame(found).assign(**cell, step=length * EPOCH, length=length)


def in_order(name: str, prior: str, rate: float, seed: int) -> float:
    """Ten nats between places; the middle rate is the best."""
    return -100 - 10 * NAMES.index(name) - abs(rate - RATES[1]) + (10 if prior == "rbm" else 0) + 0.1 * seed


def reversed_by_the_rbm(name: str, prior: str, rate: float, seed: int) -> float:
    place = NAMES.index(name)
    return in_order(NAMES[-1 - place] if prior == "rbm" else name, prior, rate, seed)


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> Callable[[pd.DataFrame], str]:
    def of(found: pd.DataFrame) -> str:
        monkeypatch.setattr(reference, "boltzmann", lambda: found)
        return f"{boltzmann.section()}\n{boltzmann.note()}"

    return of


def test_equal_orders_and_reversed_ones(section: Callable[[pd.DataFrame], str]) -> None:
    same, other = section(rows(in_order)), section(rows(reversed_by_the_rbm))
    assert "**No two of 10 estimators are shown to change places" in same and "under the other is 1.000." in same
    assert f"`{NAMES[0]}` is first under both" in same and "order is another one" not in same
    assert "**It does: of 45 pairs of estimators 45 change places" in other and "under the other is -1.000." in other
    assert f"first are `{NAMES[0]}` and `{NAMES[-1]}`" in other and "order is another one" in other
    assert "3 seeds;" in same and "at most 0.0200 nats" in same


def test_who_overtakes_whom_is_named(section: Callable[[pd.DataFrame], str]) -> None:
    def last_becomes_first(name: str, prior: str, rate: float, seed: int) -> float:
        return in_order(name, prior, rate, seed) + (95 if prior == "rbm" and name == NAMES[-1] else 0)

    text = section(rows(last_becomes_first))
    others = ", ".join(f"`{name}`" for name in sorted(NAMES[:-1])[:-1])
    assert "of 45 pairs of estimators 9 change places" in text
    assert f"`{NAMES[-1]}` overtakes {others} and `{sorted(NAMES[:-1])[-1]}`" in text


def test_noise_changes_no_places(section: Callable[[pd.DataFrame], str]) -> None:
    """Each prior has an order of its own, by less than the seeds differ."""

    def noisy(name: str, prior: str, rate: float, seed: int) -> float:
        return -100 + float(np.random.default_rng([*map(ord, name + prior), seed]).standard_normal())

    text = section(rows(noisy))
    assert "**No two of 10 estimators are shown to change places" in text and "order is another one" not in text


def test_a_rate_whose_log_z_is_uncertain_is_not_chosen(section: Callable[[pd.DataFrame], str]) -> None:
    found = rows(in_order)
    flattered = (found["task"] == task("rbm", RATES[2])) & (found["estimator"] == NAMES[0])
    found.loc[flattered & (found["metric"] == "elbo_test"), "value"] += 30
    assert chosen(found, 20)[NAMES[0], "rbm"] == RATES[2]
    found.loc[flattered & (found["metric"] == "log_z_gap"), "value"] = 2.0  # of a standard error of 1
    assert chosen(found, 20)[NAMES[0], "rbm"] == RATES[1]
    assert "at most 0.0200 nats" in section(found)


def test_without_the_seeds_that_are_compared_it_says_so(section: Callable[[pd.DataFrame], str]) -> None:
    text = section(rows(in_order, [CHOICE]))
    assert "1 seed, that of the choice" in text and "chance is not told from change" in text
    assert "60 of 120 trainings" in text
    assert section(rows(in_order).head(0)).startswith(boltzmann.NONE)


def test_a_seed_that_lacks_a_training_is_not_compared(section: Callable[[pd.DataFrame], str]) -> None:
    found = rows(in_order)
    lacking = found[(found["estimator"] != NAMES[-1]) | (found["seed"] != SEEDS[-1])]
    assert "2 seeds;" in section(lacking)


def test_the_rate_is_chosen_on_the_seed_apart_alone() -> None:
    def misleading(name: str, prior: str, rate: float, seed: int) -> float:
        return -rate if seed == CHOICE else rate

    assert set(chosen(rows(misleading), 20).values()) == {min(RATES)}


def test_both_priors_come_before_other_rates_and_these_before_other_seeds() -> None:
    def left(found: pd.DataFrame) -> list[list[tuple[str, str, int]]]:
        return [boltzmann_ranking.due(found, 20, *each) for each in boltzmann_ranking.ROUNDS]

    first, rates, *seeds = left(rows(in_order).head(0))
    assert first == [(name, task(prior, RATES[1]), CHOICE) for name in NAMES for prior in PRIORS]
    assert len(rates) == 60 and not any(seeds)
    first, rates, *seeds = left(rows(in_order, [CHOICE]))
    assert not first and not rates
    assert [each for part in seeds for each in part] == [
        (name, task(prior, RATES[1]), seed) for seed in SEEDS for name in NAMES for prior in PRIORS
    ]
    assert not any(left(rows(in_order)))
    assert len(left(rows(in_order, length=5))[0]) == 20
