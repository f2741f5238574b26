"""Figure: variance of the gradient against its cost."""

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
from ..rows import SETTING, final, is_training, logits_variance, measured, setting_label
from .style import (
    GREY,
    Look,
    estimator_handles,
    figure_with_legend,
    log_axis,
    looks,
    set_title,
    side_by_side,
    whiskers,
    width,
)

_HEIGHT = 1.6
_TOY_COLUMNS, _TRAINING_COLUMNS = 4, 3


@dataclass(frozen=True)
class _Panel:
    """`points` [estimator] -> x, x_lo, x_hi, y, y_lo, y_hi; title and y are "" beside a panel of the same task."""

    title: str
    x: str
    y: str
    points: pd.DataFrame


def plot(rows: pd.DataFrame) -> Figure | str:
    """Toys: variance of the logits gradient against evaluations and time. Training: the encoder's last, against time.

    Both axes are logarithmic; an estimator of zero variance is drawn on the lower axis.
    """
    toys, training = _toy_panels(rows), _training_panels(rows)
    parts = [
        (panels, columns, title_inches)
        for panels, columns, title_inches in (
            (toys, 2 * side_by_side(len(toys) // 2, _TOY_COLUMNS // 2), width() / 2 - 0.6),
            (training, side_by_side(len(training), _TRAINING_COLUMNS), width() / 3 - 0.5),
        )
        if any(len(panel.points) for panel in panels)
    ]
    if not parts:
        return "no task has both the variance of a gradient and its cost"
    points = pd.concat([panel.points for panels, *_ in parts for panel in panels])
    look = looks(rows)
    handles = estimator_handles(sorted(set(points.index)), look)
    if (points["y"] <= 0).any():
        handles.append(Line2D([], [], ls="", marker="$\\perp$", color=GREY, label="on the lower axis: variance 0"))
    lines = [math.ceil(len(panels) / columns) for panels, columns, _ in parts]
    figure = figure_with_legend(_HEIGHT * sum(lines) + 0.1, handles)
    outer = figure.add_gridspec(len(parts), 1, height_ratios=lines)
    for i, (panels, columns, title_inches) in enumerate(parts):
        grid = outer[i].subgridspec(lines[i], columns)
        for j, panel in enumerate(panels):
            axes = figure.add_subplot(grid[divmod(j, columns)])
            set_title(axes, panel.title, title_inches)
            _fill(axes, panel, look)
    return figure


def _toy_panels(rows: pd.DataFrame) -> list[_Panel]:
    """Two panels per task, side by side."""
    rows = rows[~is_training(rows)]
    variance = _named("y", logits_variance(rows))
    evaluations = _named("x", measured(rows, DRAWS, "evaluations"))
    time = _named("x", measured(rows, CLOCK, "time_total"))
    panels = []
    for setting, of_task in variance.groupby(SETTING):
        title, y = setting_label(setting, rows["device"].nunique()), "variance (logits)"
        for x, cost in (("evaluations of f", evaluations), ("time per draw (µs)", time)):
            points = of_task.join(cost, how="left").droplevel(SETTING)
            panels.append(_Panel(title, x, y, points))
            if points["x"].notna().any():
                title, y = "", ""
    return panels if any(panel.points["x"].notna().any() for panel in panels) else []


def _training_panels(rows: pd.DataFrame) -> list[_Panel]:
    rows = rows[is_training(rows)]
    step = _named("x", measured(rows, CLOCK, "time_total")) / 1000
    points = _named("y", final(rows, "var_encoder")).join(step, how="inner")
    return [
        _Panel(setting_label(setting, rows["device"].nunique()), "ms per step", "variance (encoder)", part)
        for setting, part in points.droplevel(SETTING).groupby(
            [points.index.get_level_values(str(key)) for key in SETTING]
        )
    ]


def _named(letter: str, quantity: pd.DataFrame) -> pd.DataFrame:
    return quantity[["value", "lo", "hi"]].set_axis([letter, f"{letter}_lo", f"{letter}_hi"], axis=1)


def _fill(axes: Axes, panel: _Panel, look: dict[str, Look]) -> None:
    points = _finite(panel.points)
    points = points[points["x"] > 0]
    if points.empty:
        axes.set_axis_off()
        axes.set_title("")
        return
    axes.set(xscale="log", yscale="log", xlabel=panel.x, ylabel=panel.y)
    axes.tick_params(labelleft=bool(panel.y))
    log_axis(axes.xaxis, *_span(points, "x"))
    log_axis(axes.yaxis, *_span(panel.points.fillna({"x": 1.0}), "y"))
    x_error, y_error = (whiskers(points[k], points[f"{k}_lo"], points[f"{k}_hi"]) for k in "xy")
    for i, (name, line) in enumerate(points.iterrows()):
        each = look[str(name)]
        drawn: dict[str, Any] = {
            "fmt": each.marker,
            "color": each.colour,
            "elinewidth": 0.8,
            "mec": "white",
            "mew": 0.3,
        }
        if line["y"] > 0:
            axes.errorbar(line["x"], line["y"], xerr=x_error[:, [i]], yerr=y_error[:, [i]], **drawn)
        else:
            on_axis = axes.errorbar(line["x"], 0, transform=axes.get_xaxis_transform(), clip_on=False, **drawn)
            on_axis.lines[0].set_zorder(5)


def _finite(points: pd.DataFrame) -> pd.DataFrame:
    return points[np.isfinite(points["x"]) & np.isfinite(points["y"])]


def _span(points: pd.DataFrame, letter: str) -> tuple[float, float]:
    """The limits of a log axis that holds all values and intervals, with a margin."""
    points = _finite(points[points[letter] > 0])
    value, lo, hi = (points[f"{letter}{side}"].replace(np.inf, np.nan) for side in ("", "_lo", "_hi"))
    if value.empty:
        return 0.1, 10.0
    low, high = lo.where(lo > 0).fillna(value).min(), hi.fillna(value).max()
    margin = max((high / low) ** 0.08, 1.4)
    return low / margin, high * margin
