"""Traces and views: points of stored rows as the plain data that plotly.js draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from markupsafe import escape

from ..report.numbers import with_interval
from ..report.style import Look
from .study import Study

View = dict[str, Any]
Draw = Callable[[pd.DataFrame], list[View]]
_SYMBOLS = dict(
    zip("os^DvPX", ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"), strict=True)
)


def view(setting: str, against: str, x: str, y: str, traces: list[View], **axes: Any) -> View:
    return {"setting": setting, "against": against, "x": x, "y": y, "traces": traces, **axes}


def text(words: Any) -> str:
    """Text from rows for plotly.js, which reads tags."""
    return str(escape(words))


def trace(name: str, look: Look, x: pd.Series, y: pd.DataFrame, **given: Any) -> View:
    """An estimator's points: `y` holds value, lo, hi; the hover says them in full."""
    values = y[["value", "lo", "hi"]].astype(float).to_numpy().tolist()
    said = [with_interval(*value) for value in values]
    return {
        "type": "scatter",
        "name": text(name),
        "x": x.astype(float).tolist(),
        "y": [value[0] for value in values],
        "error_y": _error(values),
        "text": [
            f"<b>{text(name)}</b><br>{words} at {at:.6g}" for words, at in zip(said, x.astype(float), strict=True)
        ],
        "hoverinfo": "text",
        "marker": {"color": look.colour, "symbol": _SYMBOLS[look.marker], "size": 9},
        "line": {"color": look.colour},
    } | given


def _error(values: Iterable[list[float]]) -> View:
    sides = [[_length(hi - value), _length(value - lo)] for value, lo, hi in values]
    above, below = ([side[i] for side in sides] for i in (0, 1))
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1, "width": 2}


def _length(number: float) -> float:
    return number if 0 < number < math.inf else 0.0


def views_of(studies: Iterable[Study], one: Draw) -> list[View]:
    """The views of every study; their settings carry the study's label where there are several."""
    studies = list(studies)
    found = []
    for study in studies:
        prefix = f"{study.label}: " if len(studies) > 1 else ""
        if len(study.rows):
            found += [each | {"setting": prefix + each["setting"]} for each in one(study.rows)]
    return found
