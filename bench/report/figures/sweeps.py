"""Figure: bias and variance against a swept hyper-parameter, such as β of a smoothing or τ of a relaxation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...sources import DRAWS
from ..hyperparameters import values
from ..palette import colour
from ..rows import SETTING, logits_variance, measured, toys
from ..verdicts import BIASED, verdicts
from ..view import View
from .curves import room_for_names, write_names
from .panels import most_named
from .style import (
    PALE,
    figure_with_legend,
    log_axis,
    marker,
    not_shown,
    rows_that_fit,
    scale,
    set_title,
    whiskers,
    width,
)
from .titles import titles

FEWEST = 3
LETTERS = {"beta": "β", "tau": "τ"}
INFINITE = "infinite variance"
_HEIGHT, _FEW = 2.1, 20
_QUANTITIES = {"bias": "relative bias", "variance": "variance (logits)"}


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """Two panels per toy and parameter, bias and variance of the logits gradient; a line joins names that differ in
    this parameter alone.

    Hollow: not found biased; or a variance claimed infinite, where the median of the blocks' variances is drawn.
    """
    points = _points(toys(rows))
    if points.empty:
        return f"no toy was run at {FEWEST} values of one hyper-parameter, as in -e 'gumbel-softmax:tau={{.1,.5,1}}'"
    handles: list[Artist] = [marker("not found biased, or of infinite variance", mfc="white")]
    parts = list(points.groupby([*SETTING, "parameter"]))
    shown = parts[: rows_that_fit(len(parts), _HEIGHT, handles)]
    handles += not_shown(len(parts) - len(shown), "sweep", "-t and -e")
    figure = figure_with_legend(_HEIGHT * len(shown), handles)
    grid = figure.subplots(len(shown), len(_QUANTITIES), squeeze=False)
    text = titles([tuple(setting) for (*setting, _), _ in shown])
    inches = (_HEIGHT - 0.7) * scale()
    for panels, ((*setting, parameter), part) in zip(grid, shown, strict=True):
        lines = [str(name) for name in part["line"].unique()]
        names = view.named(lines, min(most_named(view), room_for_names(inches)))
        set_title(panels[0], text[tuple(setting)], width() / 2 - 0.9, len(lines) - len(names))
        for axes, (quantity, label) in zip(panels, _QUANTITIES.items(), strict=True):
            axes.set(xscale="log", yscale="log", xlabel=LETTERS.get(str(parameter), str(parameter)), ylabel=label)
            _fill(axes, part[part[f"{quantity}_value"] > 0], quantity, names)
        last: Any = part[part["variance_value"] > 0].groupby("line").last()
        ends = {name: (last.loc[name, "x"], last.loc[name, "variance_value"]) for name in names if name in last.index}
        write_names(panels[-1], ends, {name: view.label(name, 20) for name in ends}, view, inches)
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


def _fill(axes: Axes, points: pd.DataFrame, quantity: str, names: Sequence[str]) -> None:
    if points.empty:
        axes.set_axis_off()
        return
    for name, line in points.groupby("line"):
        known, y = name in names, line[f"{quantity}_value"]
        shade = colour(str(name)) if known else PALE
        few = known and len(line) <= _FEW
        error = whiskers(y, line[f"{quantity}_lo"], line[f"{quantity}_hi"]) if few else None
        axes.errorbar(line["x"], y, yerr=error, color=shade, elinewidth=0.8, lw=1.1 if known else 0.6)
        for hollow, part in line.groupby(f"{quantity}_hollow") if known else ():
            face, size = "white" if hollow else shade, 4.2 if few else 1.5
            axes.plot(part["x"], part[f"{quantity}_value"], "o", ms=size, color=shade, mfc=face, mew=0.8)
    for axis, shown in ((axes.xaxis, points["x"]), (axes.yaxis, points[f"{quantity}_value"])):
        log_axis(axis, shown.min() / 1.5, shown.max() * 1.5)
