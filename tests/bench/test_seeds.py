"""Interquartile means and probabilities of improvement across seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.report.tables.seeds import seeds_table
from dvae_bench.bench.rows import COLUMNS, outcome, row
from dvae_bench.bench.statistics.paired import paired_log_ratio
from dvae_bench.bench.statistics.seeds import interquartile_mean, probability_of_improvement
from scipy import stats


@pytest.mark.parametrize("n", [5, 8, 13, 40])
def test_the_interquartile_mean_is_the_trimmed_mean(rng: np.random.Generator, n: int) -> None:
    scores = rng.normal(size=n)
    middle = interquartile_mean([scores]).value
    assert middle == pytest.approx(interquartile_mean([scores[::-1]]).value)
    if n % 4 == 0:
        assert middle == pytest.approx(stats.trim_mean(scores, 0.25))


def test_a_diverged_seed_ranks_last_and_is_not_dropped() -> None:
    scores = np.array([-100.0, -101, -99, -100.5, -102, -98, -100, -np.inf])
    assert interquartile_mean([scores]).value < interquartile_mean([scores[:-1]]).value
    assert probability_of_improvement([np.full(5, -np.inf)], [np.full(5, -1e9)]).value == 0


def test_the_probability_of_improvement_is_that_of_a_better_run(rng: np.random.Generator) -> None:
    assert probability_of_improvement([np.arange(5.0)], [np.arange(5.0)]).value == 0.5
    ours, theirs = rng.normal(1, 1, 4000), rng.normal(0, 1, 4000)
    assert np.mean([a > b for a, b in zip(ours, theirs, strict=True)]) == pytest.approx(0.76, abs=0.03)
    figure = probability_of_improvement([ours[:50]], [theirs[:50]])
    assert figure.lo < 0.76 < figure.hi


def test_intervals_are_reproducible_and_cover(rng: np.random.Generator) -> None:
    assert interquartile_mean([np.arange(9.0)]) == interquartile_mean([np.arange(9.0)])
    covered = 0
    for _ in range(60):
        figure = interquartile_mean([rng.normal(size=20)])
        covered += figure.lo <= 0 <= figure.hi
    assert covered >= stats.binom.ppf(1e-6, 60, 0.9)


def test_four_seeds_are_too_few() -> None:
    with pytest.raises(ValueError, match="4 seeds are too few"):
        interquartile_mean([np.arange(4.0)])


def test_the_table_needs_five_seeds_and_counts_the_diverged() -> None:
    def cell(name: str, seed: int) -> dict[str, object]:
        identity = {"estimator": name, "family": name, "task": "mnist-vae", "data": "mnist", "seed": seed}
        return dict.fromkeys(COLUMNS) | identity | {"source": "steps", "device": "cpu", "collector": "training"}

    rows = [cell("a", s) | row("elbo_test", -100.0 - s, 1, step=10) for s in range(6)]
    rows += [cell("b", s) | row("elbo_test", -90.0 - s, 1, step=10) for s in range(5)]
    rows += [cell("b", 5) | row("elbo_test", -80.0, 1, step=5), cell("b", 5) | outcome("diverged", "at step 7")]
    rows += [cell("few", s) | row("elbo_test", -10.0, 1, step=10) for s in range(4)]
    numbers = seeds_table(prepare(pd.DataFrame(rows))).numbers.set_index("estimator")
    assert list(numbers.index) == ["b", "a"]
    assert numbers["diverged"].to_dict() == {"a": 0, "b": 1}
    assert numbers.loc["a", "improvement"] == pytest.approx(1 / 6)


class TestPairedRatio:
    def test_covers_and_gains_from_common_random_numbers(self, rng: np.random.Generator) -> None:
        covered, paired_se, apart_se = 0, [], []
        for _ in range(300):
            shared = rng.gamma(50, 1 / 50, size=64)
            base, new = shared * rng.gamma(500, 1 / 500, size=64), 1.3 * shared * rng.gamma(500, 1 / 500, size=64)
            change, se = paired_log_ratio(base, new)
            covered += abs(change - np.log(1.3)) < stats.t.isf(0.025, 63) * se
            paired_se.append(se)
            apart_se.append(paired_log_ratio(base, rng.permutation(new))[1])
        assert covered >= stats.binom.ppf(1e-6, 300, 0.95)
        assert np.mean(paired_se) < 0.6 * np.mean(apart_se)
