"""How many paired seeds would decide between two trainings."""

from __future__ import annotations

import math

from scipy import stats

from ..ranking.trained import Trained

MOST = 10_000


def more_seeds(trained: Trained, one: str, other: str, level: float = 0.05) -> float:
    """How many further seeds would show the difference of two estimators, if it and its spread are as estimated.

    level: of the two-sided test. 0 if these seeds show it; infinite above MOST and with one seed, whose spread over
    seeds is not known.
    """
    value, se, _ = trained.difference(one, other)
    seeds = len((trained.scores.loc[one] - trained.scores.loc[other]).dropna())
    if seeds < 2 or not math.isfinite(value + se):
        return math.inf
    spread = se * math.sqrt(seeds)

    def shown(n: int) -> bool:
        return float(stats.t.isf(level / 2, n - 1)) * spread <= abs(value) * math.sqrt(n)

    low, high = seeds, MOST
    if not shown(high):
        return math.inf
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle + 1, high)
    return low - seeds
