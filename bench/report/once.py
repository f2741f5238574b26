"""What follows from the rows of a report is computed once, however many tables, figures and answers show it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import pandas as pd

T = TypeVar("T")
_FOUND: dict[int, dict[Callable[..., Any], Any]] = {}
"""id of a kept frame -> what was computed from it. It goes with the frame."""


def keep(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, which nobody changes from now on."""
    _FOUND[id(rows)] = {}
    weakref.finalize(rows, _FOUND.pop, id(rows), None)
    return rows


def kept(rows: pd.DataFrame) -> bool:
    return id(rows) in _FOUND


def once(function: Callable[[pd.DataFrame], T]) -> Callable[[pd.DataFrame], T]:
    """The function, computed once for kept rows and at every call for others. Nobody changes its value."""

    @functools.wraps(function)
    def remembered(rows: pd.DataFrame) -> T:
        found = _FOUND.get(id(rows))
        if found is None:
            return function(rows)
        if function not in found:
            found[function] = function(rows)
        return found[function]

    return remembered
