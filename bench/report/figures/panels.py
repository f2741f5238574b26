"""One panel per task, one line per estimator: the layout of bars and intervals by estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..rows import setting_label
from .style import TITLE_LINE, figure_with_legend, set_title, side_by_side, title_lines, width

_COLUMNS = 3
_LINE, _CLOSE, _MANY = 0.19, 0.13, 30  # inches per line; in panels of more than _MANY lines
_AROUND = 0.65


def panels_by_estimator(
    names: Mapping[Any, Sequence[str]], handles: Sequence[Artist], devices: int, x: str
) -> tuple[Figure, dict[Any, Axes]]:
    """A figure and the axes of each setting, those with most estimators first; names[setting][i] is at y = i, 0 on top.

    Settings with the same estimators share the names on the left; otherwise two panels stand side by side, each with
    its own names. devices: how many the run has, since titles name the device only where there are several.
    """
    settings = sorted(names, key=lambda setting: -len(names[setting]))
    alike = len(set(map(tuple, names.values()))) == 1
    columns = side_by_side(len(settings), _COLUMNS if alike else _COLUMNS - 1)
    title_width = (width() - 1) / columns
    titles = {setting: setting_label(setting, devices) for setting in settings}
    rows = [settings[i : i + columns] for i in range(0, len(settings), columns)]
    most = [max(len(names[setting]) for setting in row) for row in rows]
    above = [max(len(title_lines(titles[setting], title_width)) for setting in row) - 1 for row in rows]
    heights = [
        _AROUND + TITLE_LINE * more + (_LINE if lines <= _MANY else _CLOSE) * lines
        for lines, more in zip(most, above, strict=True)
    ]
    figure = figure_with_legend(sum(heights), handles)
    grid = figure.subplots(len(most), columns, squeeze=False, height_ratios=heights)
    panels = list(grid.ravel())
    for place, (axes, setting) in enumerate(zip(panels, settings, strict=False)):
        set_title(axes, titles[setting], title_width)
        axes.set_xlabel(x)
        axes.grid(False, axis="y")
        axes.set_yticks(range(len(names[setting])), [] if alike and place % columns else names[setting])
        axes.set_ylim(most[place // columns] - 0.4, -0.6)
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    return figure, dict(zip(settings, panels, strict=False))
