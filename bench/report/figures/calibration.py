"""Figure: the p-values of a run against those of a perfect test, for gradients claimed to be unbiased."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import stats

from ..rows import CELL, SETTING
from ..verdicts import bias_tests
from ..view import View
from .curves import room_for_names, write_labels
from .style import GREY, figure_with_legend, log_axis, scale
from .titles import titles

_HEIGHT, _FEWEST, _LEAST, _LONGEST = 2.8, 20, 1e-9, 30
_BAND = "0.88"
_TEST = [*CELL, "seed", "group"]


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One line per task: its sorted p-values against i / (n + 1), their expectation if they are uniform.

    Below the diagonal the test raises too many false alarms or a claim is wrong; above it the test is conservative,
    as the smallest of several p-values times their number is. The grey band holds each p-value with probability 95 %
    if the tests are independent; those of one cell are not, nor those of estimators that share random numbers.
    """
    found = _points(rows)
    if found.empty:
        return f"no toy has {_FEWEST} bias tests of gradients claimed to be unbiased (metric claims_unbiased)"
    tasks = {setting: part for setting, part in found.groupby(SETTING)}
    text = titles(tasks)
    handles = [Patch(color=_BAND, label="a perfect test, 95 %")]
    figure = figure_with_legend(_HEIGHT, handles)
    axes = figure.subplots()
    expected = _expected(max(map(len, tasks.values())))
    axes.fill_between(expected, *_interval(len(expected)), color=_BAND, lw=0)
    axes.plot(expected, expected, color=GREY, ls="--", lw=0.8)
    for part in tasks.values():
        axes.plot(_expected(len(part)), np.sort(part["value"]), marker=".", ms=2.5, lw=0.7, color="black")
    axes.set(xscale="log", yscale="log", xlabel="expected p-value", ylabel="observed p-value")
    log_axis(axes.xaxis, expected[0] / 1.2, 1.2)
    log_axis(axes.yaxis, max(min(found["value"].min(), expected[0]) / 2, _LEAST), 1.5)
    ends = {text[setting]: (_expected(len(part))[0], part["value"].min()) for setting, part in tasks.items()}
    labels = {text[setting]: f"{text[setting][:_LONGEST]} ({len(part)} tests)" for setting, part in tasks.items()}
    inches = (_HEIGHT - 0.7) * scale()
    most = dict(list(ends.items())[: room_for_names(inches)])
    write_labels(axes, most, labels, inches)
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """The tests of gradients claimed to be unbiased, for the tasks with at least _FEWEST of them."""
    claims = rows[(rows["metric"] == "claims_unbiased") & (rows["value"] == 1)]
    tests = bias_tests(rows).merge(claims[_TEST], on=_TEST)
    return tests[tests.groupby(SETTING)["value"].transform("size") >= _FEWEST]


def _expected(n: int) -> np.ndarray:
    return np.arange(1, n + 1) / (n + 1)


def _interval(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The central 95 % of the i-th smallest of n uniform p-values, Beta(i, n + 1 - i)."""
    i = np.arange(1, n + 1)
    return stats.beta.ppf(0.025, i, n + 1 - i), stats.beta.ppf(0.975, i, n + 1 - i)
