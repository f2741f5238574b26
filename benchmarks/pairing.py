"""Ratios of two step functions in pairs: the machine drifts by 20-30 % over minutes, paired quotients do not."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from dvae_bench.bench.statistics.intervals import Quantity, median

PAIRS, LEAST, SECONDS, CALLS, WARM = 20, 6, 0.3, 2, 3


def paired_ratio(step: Callable[[], object], floor: Callable[[], object], least: int = LEAST) -> Quantity:
    """step's time over floor's, CALLS of each a pair, the order within a pair alternating.

    At most PAIRS of them, or `least`, and no more than `least` (LEAST is the fewest with an interval) after SECONDS.
    """
    for _ in range(WARM):
        step()
        floor()
    quotients: list[float] = []
    start = time.perf_counter()
    while len(quotients) < least or (len(quotients) < PAIRS and time.perf_counter() - start < SECONDS):
        first, second = (step, floor) if len(quotients) % 2 else (floor, step)
        spent = {function: _seconds(function) for function in (first, second)}
        quotients.append(spent[step] / spent[floor])
    return median(np.array(quotients))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        function()
    return time.perf_counter() - start
