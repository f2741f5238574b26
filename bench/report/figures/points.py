"""Names beside their points in a panel: none over another or its leader, and over as few points as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from ..palette import colour
from ..view import View
from .style import lay_out, small

LEADER = 0.4  # points: the width of the line from a name to a point that is not beside it
_LONGEST = 22  # letters
_ORDERS = 24  # in which names are placed
_NEAR, _FAR = 4.0, 10.0  # points of type from a point to its name; beyond _FAR a thin line, the leader, joins them
_RINGS = np.array([_NEAR, 8.0, 13.0, 19.0, 26.0, 34.0, 44.0, 56.0, 70.0, 86.0])
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 68, 292, 112, 248])
_APART, _RADIUS = 1.0, 2.0  # between names; of a point
_COST_OF_A_POINT, _COST_OF_A_TOUCH, _SEVERE = 12.0, 6.0, 30.0  # under a name; under a leader; where it misleads


class Named(NamedTuple):
    """The points of a panel to be named, and all its points, which the names avoid."""

    axes: Axes
    named: Mapping[str, tuple[float, float]]
    points: Sequence[tuple[float, float]]


class _Place(NamedTuple):
    """Where a name is written, and the line from there to its point, in points of type; price: how bad that is."""

    box: Bbox
    leader: Path | None
    price: float


def name_points(figure: Figure, panels: Sequence[Named], view: View) -> None:
    """Lay the figure out, then write the names of each panel near their points, the first ones nearest."""
    lay_out(figure)
    for axes, named, points in panels:
        texts = {
            name: axes.annotate(
                view.label(name, _LONGEST), point, xytext=(0, 0), textcoords="offset points", fontsize=small(),
                color=colour(name), fontweight="bold" if view.highlighted(name) else "normal", zorder=6,
                ha="left", va="bottom", bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.3},
            )
            for name, point in named.items()
        }  # fmt: skip
        unit, to_pixels = figure.dpi / 72, axes.transData
        sizes = {name: np.asarray(text.get_window_extent().size) / unit for name, text in texts.items()}
        at = {name: np.asarray(to_pixels.transform(point)) / unit for name, point in named.items()}
        panel = Bbox(axes.bbox.get_points() / unit)
        found = _arranged(sizes, at, panel, to_pixels.transform(points) / unit)
        for name, text in texts.items():
            place = found.get(name)
            text.set_visible(place is not None)
            if place is None:
                continue
            text.set_position(tuple(place.box.min - at[name]))
            if place.leader is not None:
                ends = to_pixels.inverted().transform(np.asarray(place.leader.vertices) * unit)
                axes.plot(*ends.T, color=text.get_color(), lw=LEADER, zorder=2)


def _arranged(
    sizes: Mapping[str, np.ndarray], at: Mapping[str, np.ndarray], panel: Bbox, dots: np.ndarray
) -> dict[str, _Place]:
    """Places for as many names as possible, as near as possible: all are placed again, the worst placed first.

    Where that leaves a name out, they are placed in random orders until it does not.
    """
    order, best, least = list(sizes), dict[str, _Place](), (np.inf, np.inf)
    random = np.random.default_rng(0)
    for k in range(_ORDERS):
        if k >= len(order):
            if not least[0]:
                break
            random.shuffle(order)
        found: dict[str, _Place] = {}
        for name in order:
            apart = [other for other in at.values() if np.linalg.norm(other - at[name]) > _RADIUS]
            place = _place(sizes[name], at[name], panel, dots, np.reshape(apart, (-1, 2)), list(found.values()))
            if place is not None:
                found[name] = place
        total = (len(order) - len(found), sum(place.price for place in found.values()))
        if total < least:
            best, least = found, total
        order.sort(key=lambda name: -found[name].price if name in found else -np.inf)
    return best


def _place(
    size: np.ndarray, point: np.ndarray, panel: Bbox, dots: np.ndarray, named: np.ndarray, others: list[_Place]
) -> _Place | None:
    """The best free place around a point, where no name lies over another or over the leader of another.

    named: the other points with names; a name or leader over one would seem to be its own.
    """
    best, cost = None, np.inf
    for radius in _RINGS:
        if radius > cost:
            break
        for turn, angle in enumerate(_ANGLES):
            direction = np.array([np.cos(angle), np.sin(angle)])
            box = Bbox.from_bounds(*(point + radius * direction + size * (direction - 1) / 2), *size)
            if not (panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1):
                continue
            leader = Path([np.clip(point, box.min, box.max), point]) if radius > _FAR else None
            room = box.padded(_APART)
            if any(
                room.overlaps(other.box)
                or (leader is not None and leader.intersects_bbox(other.box))
                or (other.leader is not None and other.leader.intersects_bbox(room))
                for other in others
            ):
                continue
            price = radius + 0.1 * turn + _COST_OF_A_POINT * _covered(room, dots) + _SEVERE * _covered(room, named)
            if leader is not None:
                crossed = sum(leader.intersects_path(other.leader) for other in others if other.leader is not None)
                price += _SEVERE * (crossed + _touched(leader, named))
                price += _COST_OF_A_TOUCH * (_touched(leader, dots) - 1)  # its own does not count
            if price < cost:
                best, cost = _Place(box, leader, price), price
    return best


def _covered(room: Bbox, dots: np.ndarray) -> int:
    """How many points a name lies over."""
    return int(((dots > room.min) & (dots < room.max)).all(axis=1).sum())


def _touched(leader: Path, dots: np.ndarray) -> int:
    """How many points a leader runs over."""
    start, end = np.asarray(leader.vertices)
    along = end - start
    share = np.clip((dots - start) @ along / (along @ along), 0, 1)
    return int((np.linalg.norm(dots - start - share[:, None] * along, axis=1) < _RADIUS).sum())
