"""Figure: what every estimator reaches in training, best first, and its way there among those of its family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..palette import FAMILY_COLOURS, OTHERS, PLUGIN, colour, family
from ..placing import best_first
from ..rows import SETTING, curve, final
from ..view import View
from .panels import columns, most_named, name_lines
from .style import LINE, PALE, figure_with_legend, legend_height, not_shown, note, page, set_title, small, whiskers
from .titles import titles

_AROUND, _SMALL, _FEWEST = 0.72, 0.85, 8  # inches besides the names; of a small multiple; names of a task
_ACROSS, _TITLE = 3, 16  # small multiples side by side; letters of a title
_SHOWN = 2.2  # of the distances from the best final ELBO to the median one, below the best


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """For each training task, the test ELBO at the last step with its interval (or the range of seeds), and the
    curves by family: its own in colour with the best in bold, all others in grey.

    The steep start is cut off so that the final ELBOs can be distinguished.
    """
    curves = curve(rows, "elbo_test").reset_index()
    if curves.empty:
        return "no task was trained"
    places = best_first(rows)
    ends: Any = final(rows, "elbo_test")
    parts: dict[Any, Any] = {setting: part for setting, part in curves.groupby(SETTING)}
    settings = sorted(parts, key=lambda setting: -parts[setting]["estimator"].nunique())
    beside = columns() == 2
    families = {s: _families(parts[s]["estimator"].unique()) for s in settings}
    below = 0.0 if beside else 0.55 + _SMALL * math.ceil(max(map(len, families.values())) / _ACROSS)
    room = page() - legend_height([note("")])
    shown = settings[: max(1, int(room / (_AROUND + _FEWEST * LINE + below)))]
    left_out = len(settings) - len(shown)
    lines = max(1, int((room / len(shown) - _AROUND - below) / LINE) - 1)
    names = {
        s: view.named([n for n in places[s] if n in ends.loc[s].index], min(lines, most_named(view))) for s in shown
    }
    heights = [
        max(
            _AROUND + LINE * (len(names[s]) + (len(names[s]) < parts[s]["estimator"].nunique())) + below,
            0.4 + _SMALL * math.ceil(len(families[s]) / _ACROSS) if beside else 0.0,
        )
        for s in shown
    ]
    figure = figure_with_legend(min(sum(heights), room), not_shown(left_out))
    outer: Any = figure.add_gridspec(len(shown), 1, height_ratios=heights)
    text = titles(settings)
    for cell, setting, height in zip(outer, shown, heights, strict=True):
        if beside:
            left, right = cell.subgridspec(1, 2, width_ratios=[1, 1.15])
        else:
            left, right = cell.subgridspec(2, 1, height_ratios=[height - below, below])
        axes = figure.add_subplot(left)
        set_title(axes, text[setting], 2.2)
        low = _dots(axes, ends.loc[setting], names[setting], view)
        inner = right.subgridspec(math.ceil(len(families[setting]) / _ACROSS), _ACROSS)
        panels = [figure.add_subplot(inner[divmod(i, _ACROSS)]) for i in range(len(families[setting]))]
        _multiples(panels, parts[setting], families[setting], names[setting], view, low)
    return figure


def _families(names: Iterable[Any]) -> list[str]:
    """The families of these estimators, plugins first, then in the order of the palette."""
    found = {family(str(name)) for name in names}
    return sorted(found, key=lambda each: (each != PLUGIN, [*FAMILY_COLOURS, each].index(each)))


def _dots(axes: Axes, ends: Any, names: Sequence[str], view: View) -> float:
    """The final ELBOs by estimator; returns the lower limit of the axis."""
    rest = ends.drop(index=list(names))
    error = whiskers(ends["value"], ends["lo"], ends["hi"])
    for y, name in enumerate(names):
        i = ends.index.get_loc(name)
        axes.errorbar(ends.loc[name, "value"], y, xerr=error[:, [i]], fmt="o", color=colour(name), elinewidth=1)
    axes.plot(rest["value"], [len(names)] * len(rest), "o", ms=3, mfc=OTHERS, mec="white", mew=0.3)
    name_lines(axes, names, len(rest), view)
    best = float(ends["value"].max())
    low = max(float(ends["value"].min()), best - _SHOWN * (best - float(ends["value"].median())) - 1.0)
    high = float((ends["value"] + error[1]).max())
    margin = 0.05 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    for y, name in enumerate(names):
        if ends.loc[name, "value"] < low - margin:
            axes.text(0.01, y, f"◂ {ends.loc[name, 'value']:.0f}", transform=axes.get_yaxis_transform(),
                      va="center", color=colour(name), fontsize=small())  # fmt: skip
    axes.set_xlabel("test ELBO (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    return low


def _multiples(
    panels: Sequence[Axes], curves: pd.DataFrame, families: Sequence[str], names: Sequence[str], view: View, low: float
) -> None:
    by_name = {str(name): line for name, line in curves.groupby("estimator")}
    last = {name: float(line["value"].iloc[-1]) for name, line in by_name.items()}
    most = max(last.values())
    low = low if low < most else most - 1.0  # an estimator alone shows its last nat
    for i, (axes, own) in enumerate(zip(panels, families, strict=True)):
        members = sorted((name for name in by_name if family(name) == own), key=lambda name: last[name])
        for name in (name for name in by_name if name not in members):
            axes.plot(by_name[name]["step"], by_name[name]["value"], color=PALE, lw=0.4)
        for name in members:
            strong = name == members[-1] or view.highlighted(name)
            axes.plot(by_name[name]["step"], by_name[name]["value"], color=colour(name), lw=1.8 if strong else 0.8)
        alone = own == PLUGIN and len(members) == 1
        title = view.label(members[0], _TITLE) if alone else own.replace("_", " ")
        axes.set_title(title, color=FAMILY_COLOURS.get(own, OTHERS), fontsize=small(), pad=2)
        axes.set_ylim(low, most + 0.08 * (most - low))
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        bottom = i + _ACROSS >= len(families)
        axes.tick_params(labelbottom=bottom, labelleft=i % _ACROSS == 0)
        if len(families) - i <= len(families) % _ACROSS or (len(families) % _ACROSS == 0 and bottom):
            axes.set_xlabel("step")
