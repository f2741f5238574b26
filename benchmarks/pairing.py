"""Ratios of two step functions, measured in pairs: the machine drifts by 20-30 % over minutes, paired quotients do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Ratio:
    """The median of paired quotients with its 95 % order-statistic interval."""

    median: float
    lo: float
    hi: float


def paired_ratio(step: Callable[[], object], floor: Callable[[], object], pairs: int = 60, calls: int = 5) -> Ratio:
    """step's time over floor's, `calls` of each a pair, the order within a pair alternating."""
    for _ in range(10):
        step()
        floor()
    quotients = []
    for pair in range(pairs):
        first, second = (step, floor) if pair % 2 else (floor, step)
        spent = {function: _seconds(function, calls) for function in (first, second)}
        quotients.append(spent[step] / spent[floor])
    ordered = np.sort(quotients)
    low = int(stats.binom.ppf(0.025, pairs, 0.5))
    return Ratio(float(np.median(ordered)), float(ordered[low]), float(ordered[pairs - 1 - low]))


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start
