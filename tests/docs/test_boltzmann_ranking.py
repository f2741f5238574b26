"""The ranking under a Boltzmann prior: the rates it chooses, the order of its trainings, and what its section says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import boltzmann_ranking
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
    constants = {"source": "steps", "group": "", "status": "ok", "step": length * EPOCH, "length": length, "reason": ""}
    return pd.DataFrame(found).assign(**constants)


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
    assert "under the RBM is 1.000;" in same
    assert f"`{NAMES[0]}` is first under both" in same and "The order is another" not in same
    assert "under the RBM is -1.000;" in other and f"first are `{NAMES[0]}` and `{NAMES[-1]}`" in other
    assert "The order is another one under a Boltzmann prior" in other
    assert "3 seeds;" in same and "at most 0.0200 nats" in same


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
