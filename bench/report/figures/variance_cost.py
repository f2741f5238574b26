"""Figure: variance of the gradient against its cost, and the front: the least variance for a cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...sources import CLOCK, DRAWS
from ..palette import OTHERS, colour
from ..rows import SETTING, final, logits_variance, measured, toys, trainings
from ..verdicts import BIASED, verdicts
from ..view import REFERENCES, View
from .points import Named, name_points
from .style import (
    GREY,
    family_key,
    figure_with_legend,
    log_axis,
    marker,
    not_shown,
    note,
    rows_that_fit,
    set_title,
    side_by_side,
    whiskers,
    width,
)
from .titles import titles

_HEIGHT, _WIDTH = 2.15, 2.35
_NAMED = 8  # names that a panel has room for


@dataclass(frozen=True)
class _Panel:
    """`points` [estimator] -> x, x_lo, x_hi, y, y_lo, y_hi, biased."""

    setting: Any
    x: str
    y: str
    points: Any

    def front(self) -> list[str]:
        """Those not found biased that no other one surpasses in both, by cost."""
        able = self.points[~self.points["biased"]].sort_values(["x", "y"], kind="stable")
        return [str(name) for name, y, best in zip(able.index, able["y"], able["y"].cummin().shift(), strict=True)
                if not y >= best]  # fmt: skip

    def named(self, view: View) -> list[str]:
        """The front, the highlighted, the reference ones and those asked for, as many as there is room for."""
        front = self.front()
        extra = [str(name) for name in self.points.index if name in REFERENCES]
        own = [str(name) for name in self.points.index if view.highlighted(str(name))]
        asked = map(str, self.points.index) if view.estimators else ()
        wanted = list(dict.fromkeys([*own, *front[-1:], *front[:1], *front, *extra, *asked]))
        return wanted[: min(view.most or _NAMED, _NAMED)]


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per task. Toys: variance of the logits gradient against the time of a draw, or evaluations of f where
    no time was measured. Training: the encoder's last variance against the time of a step.

    Both axes are logarithmic; an estimator of zero variance is drawn on the lower axis. A line joins the front of
    those that were not found biased.
    """
    panels = [*_toy_panels(rows), *_training_panels(rows)]
    if not panels:
        return "no task has both the variance of a gradient and its cost"
    named = {panel.setting: panel.named(view) for panel in panels}
    handles = [
        *family_key([name for names in named.values() for name in names]),
        marker("biased", mfc="white"),
        Line2D([], [], color=GREY, lw=0.8, label="front of the unbiased"),
    ]
    if any((panel.points["y"] <= 0).any() for panel in panels):
        handles.append(note("on the lower axis: variance 0"))
    across = side_by_side(len(panels), _WIDTH)
    deep = rows_that_fit(math.ceil(len(panels) / across), _HEIGHT, handles)
    handles += not_shown(len(panels) - deep * across)
    panels = panels[: deep * across]
    figure = figure_with_legend(_HEIGHT * deep, handles)
    grid = figure.subplots(deep, across, squeeze=False).ravel()
    text = titles(panel.setting for panel in panels)
    for axes, panel in zip(grid, panels, strict=False):
        others = len(panel.points) - len(named[panel.setting])
        set_title(axes, text[panel.setting], width() / across - 0.6, others)
        _fill(axes, panel, named[panel.setting], view)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    name_points(figure, [_names(axes, p, named[p.setting]) for axes, p in zip(grid, panels, strict=False)], view)
    return figure


def _toy_panels(rows: pd.DataFrame) -> list[_Panel]:
    rows = toys(rows)
    variance = _named("y", logits_variance(rows))
    words = verdicts(rows)["verdict"].unstack("group").reindex(columns=["cut"])["cut"]
    variance["biased"] = words.reindex(variance.index) == BIASED
    sources = {"time per draw (µs)": (CLOCK, "time_total"), "evaluations of f": (DRAWS, "evaluations")}
    costs = {x: _named("x", measured(rows, source, metric)) for x, (source, metric) in sources.items()}
    panels = []
    for setting, of_task in variance.groupby(SETTING):
        for x, cost in costs.items():
            points = _finite(of_task.join(cost, how="inner"))
            if len(points):
                panels.append(_Panel(setting, x, "variance (logits)", points.droplevel(SETTING)))
                break
    return panels


def _training_panels(rows: pd.DataFrame) -> list[_Panel]:
    rows = trainings(rows)
    step = _named("x", measured(rows, CLOCK, "time_total")) / 1000
    points = _finite(_named("y", final(rows, "var_encoder")).join(step, how="inner").assign(biased=False))
    return [
        _Panel(setting, "ms per step", "variance (encoder)", part.droplevel(SETTING))
        for setting, part in points.groupby(SETTING)
    ]


def _named(letter: str, quantity: pd.DataFrame) -> pd.DataFrame:
    return quantity[["value", "lo", "hi"]].set_axis([letter, f"{letter}_lo", f"{letter}_hi"], axis=1)


def _fill(axes: Axes, panel: _Panel, named: list[str], view: View) -> None:
    points = panel.points
    axes.set(xscale="log", yscale="log", xlabel=panel.x, ylabel=panel.y)
    log_axis(axes.xaxis, *_span(points, "x"))
    log_axis(axes.yaxis, *_span(points, "y"))
    low = axes.get_ylim()[0]
    front = points.loc[panel.front()]
    axes.step(front["x"], front["y"].clip(lower=low), where="post", color=GREY, lw=0.8, zorder=2)
    x_error, y_error = (whiskers(points[k], points[f"{k}_lo"], points[f"{k}_hi"]) for k in "xy")
    others = points.drop(index=named)
    for biased, part in others.groupby("biased"):
        face = "white" if biased else OTHERS
        axes.plot(part["x"], part["y"].clip(lower=low), "o", ms=3, mec=OTHERS, mfc=face, mew=0.8, zorder=1)
    for name in named:
        i, line, strong = points.index.get_loc(name), points.loc[name], view.highlighted(name)
        axes.errorbar(
            line["x"], max(line["y"], low), xerr=x_error[:, [i]], yerr=y_error[:, [i]] if line["y"] > 0 else None,
            fmt="o", color=colour(name), elinewidth=0.7, ms=6 if strong else 4.2,
            mfc="white" if line["biased"] else colour(name), mew=0.8, zorder=5, clip_on=line["y"] > 0,
        )  # fmt: skip


def _names(axes: Axes, panel: _Panel, named: list[str]) -> Named:
    low = axes.get_ylim()[0]
    at = {str(name): (float(x), max(float(y), low)) for name, x, y in panel.points[["x", "y"]].itertuples()}
    return Named(axes, {name: at[name] for name in named}, list(at.values()))


def _finite(points: pd.DataFrame) -> pd.DataFrame:
    return points[np.isfinite(points["x"]) & np.isfinite(points["y"]) & (points["x"] > 0)]


def _span(points: pd.DataFrame, letter: str) -> tuple[float, float]:
    """The limits of a log axis that holds all values, with a margin for names."""
    value = points.loc[points[letter] > 0, letter]
    if value.empty:
        return 0.1, 10.0
    margin = max((value.max() / value.min()) ** 0.1, 1.5)
    return value.min() / margin, value.max() * margin
