"""Traces and views: points of stored rows as the plain data that plotly.js draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import escape

from ..report.figures.style import Look
from ..report.numbers import with_interval
from ..report.study import Study

View = dict[str, Any]
Point = tuple[float, float, float, float]
Looks = Mapping[str, Look]
Draw = Callable[[pd.DataFrame, Looks], list[View]]
_SYMBOLS = dict(
    zip("os^DvPX", ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"), strict=True)
)


def view(setting: str, against: str, x: str, y: str, traces: list[View], **axes: Any) -> View:
    return {"setting": setting, "against": against, "x": x, "y": y, "traces": traces, **axes}


def text(words: Any) -> str:
    """Text from rows, escaped because plotly.js interprets tags."""
    return str(escape(words))


def trace(name: str, look: Look, points: Sequence[Point], **given: Any) -> View:
    """An estimator's points: x, and value, lo, hi of y; the hover text gives them in full."""
    values = [point[1:] for point in points]
    hover = [f"<b>{text(name)}</b><br>{with_interval(y, lo, hi)} at {x:.6g}" for x, y, lo, hi in points]
    return {
        "type": "scatter",
        "name": text(name),
        "x": [point[0] for point in points],
        "y": [value[0] for value in values],
        "error_y": _error(values),
        "text": hover,
        "hoverinfo": "text",
        "marker": {"color": look.colour, "symbol": _SYMBOLS[look.marker], "size": 9},
        "line": {"color": look.colour},
    } | given


def points_of(frame: pd.DataFrame, x: str) -> list[Point]:
    """The rows of a frame as points: its column `x`, and value, lo and hi."""
    return list(frame[[x, "value", "lo", "hi"]].astype(float).itertuples(index=False, name=None))


def _error(values: Iterable[tuple[float, ...]]) -> View:
    sides = [[_length(hi - value), _length(value - lo)] for value, lo, hi in values]
    above, below = ([side[i] for side in sides] for i in (0, 1))
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1, "width": 2}


def _length(number: float) -> float:
    return number if 0 < number < math.inf else 0.0


def views_of(studies: Iterable[Study], one: Draw, look: Looks) -> list[View]:
    """The views of every study, each with the study's label as its run."""
    return [{"run": text(study.label)} | each for study in studies if len(study.rows) for each in one(study.rows, look)]
