"""The search of a line for its hyper-parameters: every point of a grid, or random points of stated ranges. No torch."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from ...estimators.names import Name, Sweep
from .protocol import Method, Protocol

Point = tuple[Name, Name]
"""An estimator on a task, as given, at full length."""


def sweeps(protocol: Protocol, method: Method, setting: str) -> tuple[Sweep, Sweep]:
    """The values of each parameter of the estimator and of the task that a search tries.

    A value that the setting or the method fixes is not searched.
    """
    own = protocol.settings[setting] | dict(method.values)
    searched = {key: values for key, values in protocol.sweep.items() if key not in own}
    of_task = {key: [value] for key, value in (dict(protocol.values) | own).items()}
    of_task |= {key: values if isinstance(values, list) else [values] for key, values in searched.items()}
    return Sweep.parse(method.estimator), Sweep(protocol.task, of_task)


def points(protocol: Protocol, method: Method, setting: str, most: int = 0) -> list[Point]:
    """The points that the search tries, in its order.

    most: only the first `most` points of a random search; 1 for the middle of each range and list; 0 for all.
    """
    both = sweeps(protocol, method, setting)
    if most == 1:
        return [_point(both, itertools.repeat(0.5))]
    if not protocol.trials:
        return list(itertools.product(both[0].names(), both[1].names()))
    keys = [key for sweep in both for key in sweep.choices]
    # A stream for each parameter: trial k of every method has the same learning rate.
    streams = [random.Random(f"{setting}/{key}") for key in keys]
    return [_point(both, (each.random() for each in streams)) for _ in range(most or protocol.trials)]


def _point(both: tuple[Sweep, Sweep], shares: Iterator[float]) -> Point:
    estimator, task = (
        Name(sweep.family, tuple(sorted((key, at(values, next(shares))) for key, values in sweep.choices.items())))
        for sweep in both
    )
    return estimator, task


def at(values: Sequence[Any], share: float) -> Any:
    """The value at a share in [0, 1) of a list, or of a range on its log scale, to four digits."""
    limits = range_of(values)
    if limits is None:
        return values[int(share * len(values))]
    low, high = limits
    return float(f"{low * (high / low) ** share:.4g}")


def range_of(values: Sequence[Any]) -> tuple[float, float] | None:
    """The limits of a range, which is the single value `1e-4..1e-2`; None for anything else."""
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    try:
        low, high = map(float, values[0].split("..", 1))
    except ValueError:
        return None
    return (low, high) if 0 < low < high < math.inf else None
