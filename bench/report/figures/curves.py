"""Curves of many estimators in one panel: the named ones in colour with their names at the ends, the others grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from scipy.optimize import isotonic_regression

from ..palette import colour
from ..view import View
from .style import LINE, PALE, scale, small, whiskers


def draw_curves(axes: Axes, curves: pd.DataFrame, x: str, names: Sequence[str], view: View) -> None:
    """Draw every curve, those of `names` in colour. curves: estimator, value, lo, hi and the column x."""
    by_name = {str(name): line.sort_values(x, kind="stable") for name, line in curves.groupby("estimator")}
    for name, line in by_name.items():
        if name not in names:
            axes.plot(line[x], line["value"], color=PALE, lw=0.6, zorder=1)
    for name in names:
        line, strong = by_name[name], view.highlighted(name)
        few = len(line) <= 12
        axes.errorbar(
            line[x], line["value"], yerr=whiskers(line["value"], line["lo"], line["hi"]) if few else None,
            color=colour(name), marker="o" if few else "", ms=2.5, lw=2.0 if strong else 1.1, elinewidth=0.7,
            zorder=4 if strong else 3,
        )  # fmt: skip


def name_ends(axes: Axes, curves: pd.DataFrame, x: str, names: Sequence[str], view: View, inches: float) -> None:
    """Write the names at the ends of their curves, right of the axes and apart from each other.

    inches: the height of the axes. The limits of the axes must be final.
    """
    last: Any = curves.sort_values(x, kind="stable").groupby("estimator").last()
    ends = {name: (float(last.loc[name, x]), float(last.loc[name, "value"])) for name in names}
    write_names(axes, ends, {name: view.label(name, 22) for name in names}, view, inches)


def write_names(
    axes: Axes, ends: Mapping[str, tuple[float, float]], labels: Mapping[str, str], view: View, inches: float
) -> None:
    """Write the labels of estimators as `write_labels` does, in the colour of their family."""
    for name, text in write_labels(axes, ends, labels, inches).items():
        text.set(color=colour(name), fontweight="bold" if view.highlighted(name) else "normal")


def write_labels(
    axes: Axes, ends: Mapping[str, tuple[float, float]], labels: Mapping[str, str], inches: float
) -> dict[str, Annotation]:
    """Write each label right of the axes, near the height of its point and joined to it by a thin line."""
    place = axes.transAxes.inverted().transform
    heights = {name: float(place(axes.transData.transform(end))[1]) for name, end in ends.items()}
    order = sorted(heights, key=lambda name: (heights[name], name))
    where = spread([heights[name] for name in order], LINE * scale() / inches)
    return {
        name: axes.annotate(
            labels[name], ends[name], xytext=(1.04, y), textcoords="axes fraction", va="center", fontsize=small(),
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.4, "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5)},
        )
        for name, y in zip(order, where, strict=True)
    }  # fmt: skip


def spread(heights: Sequence[float], apart: float) -> np.ndarray:
    """Sorted heights within [0, 1] moved as little as possible, in squares, to be `apart` from each other."""
    if not len(heights):
        return np.zeros(0)
    steps = apart * np.arange(len(heights))
    fitted = isotonic_regression(np.clip(np.nan_to_num(heights), 0, 1) - steps).x
    return np.clip(fitted, 0, max(0.0, 1 - steps[-1])) + steps


def room_for_names(inches: float) -> int:
    """How many names fit beside axes of this height."""
    return max(1, int(inches / (LINE * scale())))
