"""Names beside their points in a panel: none over another, and over as few points as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from ..palette import colour
from ..view import View
from .style import lay_out, small

_LONGEST = 22  # letters
_NEAR, _FAR = 4.0, 10.0  # points of type from a point to its name; beyond _FAR a thin line joins them
_RINGS = np.array([_NEAR, 8.0, 13.0, 19.0, 26.0, 34.0, 44.0, 56.0, 70.0, 86.0])
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202])
_COST_OF_A_POINT, _APART = 12.0, 1.0  # points of type


class Named(NamedTuple):
    """The points of a panel to be named, and all its points, which the names avoid."""

    axes: Axes
    named: Mapping[str, tuple[float, float]]
    points: Sequence[tuple[float, float]]


def name_points(figure: Figure, panels: Sequence[Named], view: View) -> None:
    """Lay the figure out, then write the names of each panel near their points, the first ones nearest."""
    lay_out(figure)
    for axes, named, points in panels:
        taken: list[Bbox] = []
        dots = axes.transData.transform(points)
        for name, point in named.items():
            text = axes.annotate(
                view.label(name, _LONGEST), point, xytext=(0, 0), textcoords="offset points", fontsize=small(),
                color=colour(name), fontweight="bold" if view.highlighted(name) else "normal", zorder=6,
                ha="left", va="bottom", bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.3},
            )  # fmt: skip
            taken.append(_place(axes, text, taken, dots))


def _place(axes: Axes, text: Annotation, taken: Sequence[Bbox], dots: np.ndarray) -> Bbox:
    """Move the text to the best free place around its point, and return its box; hide it if there is none."""
    figure = axes.get_figure()
    assert figure is not None
    unit = figure.dpi / 72
    box, panel = text.get_window_extent(), axes.bbox
    point = axes.transData.transform(text.xy)
    best, cost = None, np.inf
    for radius in _RINGS:
        if radius > cost:
            break
        for turn, angle in enumerate(_ANGLES):
            direction = np.array([np.cos(angle), np.sin(angle)])
            size = np.array([box.width, box.height])
            corner = point + radius * unit * direction + size * (direction - 1) / 2
            found = Bbox.from_bounds(*corner, *size)
            room = found.padded(_APART * unit)
            if any(room.overlaps(other) for other in taken):
                continue
            if not (panel.x0 <= found.x0 and found.x1 <= panel.x1 and panel.y0 <= found.y0 and found.y1 <= panel.y1):
                continue
            covered = int(((dots > (room.x0, room.y0)) & (dots < (room.x1, room.y1))).all(axis=1).sum())
            price = radius + 0.1 * turn + _COST_OF_A_POINT * covered
            if price < cost:
                best, cost = (found, radius), price
    if best is None:
        text.set_visible(False)
        return Bbox.null()
    found, radius = best
    text.set_position(tuple((found.min - point) / unit))
    if radius > _FAR:
        near = np.clip(point, found.min, found.max)
        axes.plot(*axes.transData.inverted().transform([near, point]).T, color=text.get_color(), lw=0.4, zorder=2)
    return found
