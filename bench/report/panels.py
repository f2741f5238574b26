"""A panel a task, a line an estimator: what bars and intervals by estimator are drawn into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .rows import setting_label
from .style import figure_with_legend, set_title, side_by_side, width

_COLUMNS = 3
_LINE = 0.19


def panels_by_estimator(
    settings: Sequence[Any], names: Sequence[str], handles: Sequence[Artist], devices: int, x: str
) -> tuple[Figure, list[Axes]]:
    """A figure and the axes of each setting; the estimator names[i] is at y = i, the first on top."""
    columns = side_by_side(len(settings), _COLUMNS)
    lines = math.ceil(len(settings) / columns)
    figure = figure_with_legend(lines * (_LINE * len(names) + 0.65), handles)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, setting in zip(panels, settings, strict=False):
        set_title(axes, setting_label(setting, devices), (width() - 1) / columns)
        axes.set_xlabel(x)
        axes.grid(False, axis="y")
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figure, list(panels[: len(settings)])
