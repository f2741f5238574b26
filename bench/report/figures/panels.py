"""One panel per task, one line per estimator: the layout of dots, bars and intervals by estimator, within a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..palette import colour
from ..view import RANKING, View
from .style import (
    GREY,
    LETTER,
    LINE,
    family_key,
    figure_with_legend,
    legend_height,
    not_shown,
    note,
    page,
    rows_that_fit,
    scale,
    set_title,
    side_by_side,
    width,
)
from .titles import titles

_AROUND, _FEWEST = 0.72, 5  # inches of a panel besides its lines; lines of a panel
_WIDTH = 3.3
_MOST = {1: 12, 2: 40}
HIGHLIGHT = "0.93"


@dataclass(frozen=True)
class Panel:
    """The axes of a setting. names[i] is at y = i; the `rest` share the line at y = len(names), in grey."""

    axes: Axes
    names: Sequence[str]
    rest: Sequence[str]


def columns() -> int:
    """The columns of the page that figures of the current style span."""
    return 1 if side_by_side(2, _WIDTH) == 1 else 2


def most_named(view: View) -> int:
    """How many estimators a panel may name, page permitting."""
    return view.most or _MOST[columns()]


def panels_by_estimator(
    orders: Mapping[Any, Sequence[str]],
    view: View,
    handles: Sequence[Artist],
    x: str,
    arranged: Callable[[Any, Sequence[str]], Sequence[str]] = lambda setting, names: names,
) -> tuple[Figure, dict[Any, Panel]]:
    """A figure and the panel of each setting, those with most estimators first.

    orders: setting -> its estimators, best first, of which `view` and the page decide how many are named. arranged:
    the order in which those are shown. Where not all settings fit the page, a note counts the others.
    """
    key = family_key([name for order in orders.values() for name in order])
    settings = sorted(orders, key=lambda setting: -len(orders[setting]))
    across = side_by_side(len(settings), _WIDTH)
    room = page() - legend_height([*key, *handles, note("x" * 60)])
    deep = rows_that_fit(math.ceil(len(settings) / across), _AROUND + _FEWEST * LINE, [*key, *handles])
    left_out = len(settings) - deep * across
    settings = settings[: deep * across]
    lines = max(_FEWEST, int((room / deep - _AROUND) / LINE)) - 1
    names = {s: view.named(orders[s], min(lines, most_named(view))) for s in settings}
    rest = {s: [name for name in orders[s] if name not in names[s]] for s in settings}
    rows = [settings[i : i + across] for i in range(0, len(settings), across)]
    heights = [_AROUND + LINE * max(len(names[s]) + bool(rest[s]) for s in row) for row in rows]
    key = family_key([name for named in names.values() for name in named])
    figure = figure_with_legend(sum(heights), [*key, *handles, *not_shown(left_out)])
    grid = figure.subplots(len(rows), across, squeeze=False, height_ratios=heights)
    text, panels = titles(orders), {}
    for axes, setting in zip(grid.ravel(), settings, strict=False):
        shown = list(arranged(setting, names[setting]) if view.order == RANKING else names[setting])
        set_title(axes, text[setting], width_of_panel(across))
        axes.set_xlabel(x)
        name_lines(axes, shown, len(rest[setting]), view)
        panels[setting] = Panel(axes, shown, rest[setting])
    for axes in grid.ravel()[len(settings) :]:
        axes.set_axis_off()
    return figure, panels


def width_of_panel(across: int) -> float:
    """The inches above a panel beside its names."""
    return width() / across - 16 * LETTER * scale()


def name_lines(axes: Axes, names: Sequence[str], rest: int, view: View) -> None:
    """Name each line in the colour of its family, highlighted ones in bold, and count the others in grey."""
    count = [f"{rest} other{'s' * (rest > 1)}"] if rest else []
    axes.set_yticks(range(len(names) + len(count)), [*map(view.label, names), *count])
    axes.set_ylim(len(names) + len(count) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for label, name in zip(axes.get_yticklabels(), names, strict=False):
        label.set_color(colour(name))
        if view.highlighted(name):
            label.set_fontweight("bold")
            y = names.index(name)
            axes.axhspan(y - 0.5, y + 0.5, color=HIGHLIGHT, lw=0, zorder=0)
    for label in axes.get_yticklabels()[len(names) :]:
        label.set(color=GREY, fontstyle="italic")
    axes.grid(False, axis="y")
