"""Unbiased up to a constant: the constant, the test of the direction, its level and its power, and the verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from dvae_bench.bench.collectors.exact_moments import ExactMoments
from dvae_bench.bench.collectors.proportion import Proportion
from dvae_bench.bench.report.constants import constants
from dvae_bench.bench.report.tables.exact import exact_table
from dvae_bench.bench.report.tables.toys import toy_table
from dvae_bench.bench.report.verdicts import verdicts
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.enumeration.enumerated import enumerate_draws
from dvae_bench.bench.sources.settings import DrawSettings, EnumerationSettings
from dvae_bench.bench.statistics.bias_test import bias_p_value
from dvae_bench.bench.statistics.moments import Accumulator, Moments
from dvae_bench.bench.statistics.proportion import bend_p_value, scale, scales_of_points
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from scipy import stats
from tiny import TINY, grid

EXACT = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 1.0])
"""Two data points of three numbers each."""


def drawn(mean: np.ndarray, seed: int, noise: float = 1.0, per_block: int = 50) -> Moments:
    """64 blocks of normal draws, correlated between coordinates."""
    generator = np.random.default_rng(seed)
    mix = np.eye(6) + 0.5 * generator.standard_normal((6, 6))
    accumulator = Accumulator(64, per_block)
    for _ in range(64):
        accumulator.add(torch.tensor(mean + noise * generator.standard_normal((per_block, 6)) @ mix))
    return accumulator.finish()


def test_the_test_holds_its_level_whatever_the_constant() -> None:
    p = [bend_p_value(drawn(c * EXACT, seed), EXACT, 0.0) for seed, c in enumerate([0.25, 1.0, -2.0, 0.0] * 40)]
    assert sum(each < 0.05 for each in p) <= stats.binom.isf(1e-6, len(p), 0.05)
    wrong = [bias_p_value(drawn(0.25 * EXACT, seed), EXACT, 0.0) for seed in range(10)]
    assert max(wrong) < 1e-3, "which the test of the bias itself does not"


def test_a_bend_is_found_at_any_length() -> None:
    bent = EXACT * np.repeat([1.0, 1.2], 3)
    assert all(
        bend_p_value(drawn(c * bent, seed, 0.3 * c), EXACT, 0.0) < 1e-3 for seed, c in enumerate([0.1, 1.0, 10.0])
    )


def test_the_constant_has_its_interval() -> None:
    covered = [found.lo <= 0.75 <= found.hi for found in (scale(drawn(0.75 * EXACT, s), EXACT) for s in range(200))]
    assert stats.binom.ppf(1e-6, 200, 0.95) <= sum(covered) <= 199 + (sum(covered) == 200)
    own = scales_of_points(drawn(EXACT * np.repeat([0.5, 2.0], 3), 1, noise=0.1), EXACT, 2)
    assert [round(point.value, 1) for point in own] == [0.5, 2.0]


def rows_of(names: str, store: Store, task: str = "sequence:t=2") -> pd.DataFrame:
    preset = TINY.changed(DRAWS, **vars(DrawSettings(rows=100, tuning_steps=2)))
    run_cells(grid(*names.split(), tasks=task, sources="draws", preset=preset), store, Progress())
    return store.rows()


def test_the_verdict_tells_a_constant_from_a_bend(store: Store) -> None:
    """(n - 1)/n is harmless, and a division by the standard deviation of each prompt is not; verdicts stay."""
    rows = rows_of("rloo group-mean grpo kl-in-loss", store)
    assert "scale_of_point" in set(rows["metric"])
    table = toy_table(rows)
    text = table.text.set_index("estimator")["up to a constant"]
    assert text["group-mean"].startswith("0.7") and text["grpo"].startswith("bent: 0.") and text["rloo"] == "–"
    assert list(table.text.set_index("estimator").loc[["rloo", "group-mean"], "verdict"]) == ["unbiased", "biased"]
    found = constants(rows).reset_index().set_index("estimator")
    assert found.loc["group-mean", "scale_lo"] < 0.75 < found.loc["group-mean", "scale_hi"]
    assert not found.loc["group-mean", "bent"] and found.loc["grpo", "most"] > 2 * found.loc["grpo", "least"]
    older = rows[~rows["metric"].isin(["scale", "bend_p", "scale_of_point"])]
    pd.testing.assert_frame_equal(verdicts(older), verdicts(rows))
    assert "up to a constant" not in toy_table(older).text and "scale" not in toy_table(older).numbers


@pytest.mark.parametrize(
    ("name", "c", "bend"),
    [
        ("rloo", 1.0, lambda x: x < 1e-12),
        ("group-mean:n=2", 0.5, lambda x: x < 1e-12),
        ("grpo:n=2", None, lambda x: x > 0.1),
    ],
)
def test_enumeration_gives_the_constant_without_noise(
    name: str, c: float | None, bend: Callable[[float], bool]
) -> None:
    toy, parsed = TASKS.find("sequence").load()(t=2), Name.parse(name)
    layers = Layers(ESTIMATORS.find(parsed.family).load(), parsed.values, toy, torch.device("cpu"))
    rows = list(ExactMoments().rows(enumerate_draws(layers, toy, EnumerationSettings(draws=1, blocks=1), 0)))
    found = {row["metric"]: row["value"] for row in rows}
    assert bend(found["bend_exact"]) and (c is None or found["scale_exact"] == pytest.approx(c, rel=1e-12))
    assert [row["step"] for row in rows if row["metric"] == "scale_of_point_exact"] == [0, 1, 2, 3]


def test_the_exact_table_compares_variances_at_equal_length(store: Store) -> None:
    """The group mean of n = 2 is half of `rloo`, draw by draw."""
    run_cells(
        grid("rloo", "group-mean:n=2", tasks="sequence:t=2", sources="enumeration", preset=TINY), store, Progress()
    )
    text = exact_table(store.rows()).text.set_index("estimator")
    assert text.loc["rloo", "variance / c²"] == text.loc["group-mean:n=2", "variance / c²"]
    assert float(text.loc["rloo", "variance"]) == pytest.approx(
        4 * float(text.loc["group-mean:n=2", "variance"]), rel=0.01
    )


def test_one_number_has_no_direction(store: Store) -> None:
    assert "bend_p" not in set(rows_of("reinforce", store, "bit:d=1")["metric"])
    assert Proportion.source == "draws"
