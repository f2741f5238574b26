"""Ratios of two step functions in pairs: the machine drifts by 20-30 % over minutes, paired quotients do not."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from dvae_bench.bench.statistics import Figure, median


def paired_ratio(step: Callable[[], object], floor: Callable[[], object], pairs: int = 60, calls: int = 5) -> Figure:
    """step's time over floor's, `calls` of each a pair, the order within a pair alternating."""
    for _ in range(10):
        step()
        floor()
    quotients = []
    for pair in range(pairs):
        first, second = (step, floor) if pair % 2 else (floor, step)
        spent = {function: _seconds(function, calls) for function in (first, second)}
        quotients.append(spent[step] / spent[floor])
    return median(np.array(quotients))


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start
