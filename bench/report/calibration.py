"""Figure: the p-values of a run against those of a perfect test, for what claims to be unbiased."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy import stats

from .rows import CELL, SETTING, setting_label
from .style import width
from .verdicts import bias_tests

_HEIGHT, _FEWEST = 3.2, 20
_TEST = [*CELL, "seed", "group"]


def draw(rows: pd.DataFrame) -> Figure | str:
    """One line a task: its sorted p-values over the i / (n + 1) expected of uniform ones.

    Below the diagonal the test alarms too often or a claim is wrong; above it is careful, as the smallest of several
    p-values times their number is.
    Grey holds 95 % of each p-value were the tests independent; those of one cell, of several groups, are not.
    """
    found = _points(rows)
    if found.empty:
        return f"no toy has {_FEWEST} bias tests of what claims to be unbiased (metric claims_unbiased)"
    figure = Figure(figsize=(width(), _HEIGHT), layout="constrained")
    axes = figure.subplots()
    tasks = list(found.groupby(SETTING))
    expected = _expected(max(len(part) for _, part in tasks))
    axes.fill_between(expected, *_band(len(expected)), color="0.88", lw=0, label="a perfect test, 95 %")
    axes.plot(expected, expected, color="black", ls="--", lw=0.8)
    palette = sns.color_palette("husl", len(tasks))
    for colour, (setting, part) in zip(palette, tasks, strict=True):
        label = f"{setting_label(setting, found['device'].nunique())}, {len(part)} tests"
        axes.plot(_expected(len(part)), np.sort(part["value"]), marker=".", ms=3, lw=0.8, color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="p-value expected", ylabel="p-value found")
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """The tests of what claims to be unbiased, of the tasks that have enough of them."""
    claims = rows[(rows["metric"] == "claims_unbiased") & (rows["value"] == 1)]
    tests = bias_tests(rows).merge(claims[_TEST], on=_TEST)
    return tests[tests.groupby(SETTING)["value"].transform("size") >= _FEWEST]


def _expected(n: int) -> np.ndarray:
    return np.arange(1, n + 1) / (n + 1)


def _band(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The central 95 % of the i-th smallest of n uniform numbers, Beta(i, n + 1 - i)."""
    i = np.arange(1, n + 1)
    return stats.beta.ppf(0.025, i, n + 1 - i), stats.beta.ppf(0.975, i, n + 1 - i)
