"""Figure: bias and variance against a swept hyper-parameter, such as β of a smoothing or τ of a relaxation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...sources import DRAWS
from ..hyperparameters import values
from ..rows import SETTING, is_training, logits_variance, measured, setting_label
from ..verdicts import BIASED, verdicts
from .style import GREY, Look, estimator_handles, figure_with_legend, log_axis, looks, set_title, whiskers, width

FEWEST = 3
LETTERS = {"beta": "$\\beta$", "tau": "$\\tau$"}
INFINITE = "infinite variance"
_HEIGHT = 2.1
_QUANTITIES = {"bias": "relative bias", "variance": "variance (logits)"}


def plot(rows: pd.DataFrame) -> Figure | str:
    """Two panels per toy and parameter, bias and variance of the logits gradient; a line joins names that differ in
    this parameter alone.

    Hollow: not found biased; or a variance claimed infinite, where the median of the blocks' variances is drawn.
    """
    points = _points(rows[~is_training(rows)])
    if points.empty:
        return f"no toy was run at {FEWEST} values of one hyper-parameter, as in -e 'gumbel-softmax:tau={{.1,.5,1}}'"
    lines = sorted(set(points["line"]))
    look = looks(pd.DataFrame({"estimator": lines}))
    hollow = Line2D(
        [], [], ls="", marker="o", color=GREY, mfc="white", label="not found biased, or of infinite variance"
    )
    handles: list[Artist] = [*estimator_handles(lines, look, lines=True), hollow]
    parts = list(points.groupby([*SETTING, "parameter"]))
    figure = figure_with_legend(_HEIGHT * len(parts), handles)
    grid = figure.subplots(len(parts), len(_QUANTITIES), squeeze=False)
    for panels, ((*setting, parameter), part) in zip(grid, parts, strict=True):
        set_title(panels[0], setting_label(setting, rows["device"].nunique()), width() / 2 - 0.6)
        for axes, (quantity, label) in zip(panels, _QUANTITIES.items(), strict=True):
            axes.set(xscale="log", yscale="log", xlabel=LETTERS.get(str(parameter), str(parameter)), ylabel=label)
            _fill(axes, part[part[f"{quantity}_value"] > 0], quantity, look)
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per cell and swept parameter: x, bias and variance with their intervals, and which are hollow."""
    both = {"bias": measured(rows, DRAWS, "bias_rel", "cut"), "variance": logits_variance(rows)}
    numbers = pd.concat([of.add_prefix(f"{quantity}_") for quantity, of in both.items()], axis=1)
    words = verdicts(rows)["verdict"].unstack("group").reindex(columns=["cut"])["cut"]
    numbers["bias_hollow"] = words.reindex(numbers.index) != BIASED
    numbers["variance_hollow"] = numbers["variance_status"] == INFINITE
    joined = numbers.reset_index().merge(_sweeps(rows["estimator"].unique()), on="estimator")
    enough = joined.groupby([*SETTING, "parameter", "line"])["x"].transform("nunique") >= FEWEST
    return joined[enough].sort_values([*SETTING, "parameter", "line", "x"], kind="stable")


def _sweeps(names: Iterable[Any]) -> pd.DataFrame:
    """[estimator, parameter, line, x]: each positive numeric hyper-parameter, and the name without it."""
    found = []
    for text in names:
        name = Name.stored(str(text))
        for key, x in values(ESTIMATORS, name).items():
            if isinstance(x, int | float) and x > 0:
                rest = Name(name.family, tuple((other, value) for other, value in name.params if other != key))
                found.append((text, key, str(rest), float(x)))
    return pd.DataFrame(found, columns=["estimator", "parameter", "line", "x"])


def _fill(axes: Axes, points: pd.DataFrame, quantity: str, look: dict[str, Look]) -> None:
    if points.empty:
        axes.set_axis_off()
        return
    for name, line in points.groupby("line"):
        each, y = look[str(name)], line[f"{quantity}_value"]
        error = whiskers(y, line[f"{quantity}_lo"], line[f"{quantity}_hi"])
        axes.errorbar(line["x"], y, yerr=error, color=each.colour, ls=each.line, elinewidth=0.8)
        for hollow, part in line.groupby(f"{quantity}_hollow"):
            face = "white" if hollow else each.colour
            axes.plot(part["x"], part[f"{quantity}_value"], each.marker, color=each.colour, mfc=face, mew=0.8)
    for axis, shown in ((axes.xaxis, points["x"]), (axes.yaxis, points[f"{quantity}_value"])):
        log_axis(axis, shown.min() / 1.5, shown.max() * 1.5)
