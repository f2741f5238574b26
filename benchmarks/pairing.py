"""The ratio of two functions' times, in pairs: the machine drifts by 20-30 % over minutes, paired ratios do not."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from dvae_bench.bench.statistics.intervals import Quantity, median

PAIRS, LEAST, SECONDS, CALLS, WARM = 20, 6, 0.3, 2, 3


def paired_ratio(step: Callable[[], object], floor: Callable[[], object], least: int = LEAST) -> Quantity:
    """The median of step's time over floor's, with CALLS of each per pair and alternating order within a pair.

    Takes up to PAIRS pairs in SECONDS, but at least `least` (LEAST is the smallest number with an interval).
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
    """CPU seconds, which other processes of the machine do not lengthen; all steps here run on one thread."""
    start = time.process_time()
    for _ in range(CALLS):
        function()
    return time.process_time() - start
