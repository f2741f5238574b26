"""How much a number changed: an estimate, an interval, a margin, and the word that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..report.numbers import plain, with_interval
from ..statistics.paired import paired_log_ratio

SAME, BETTER, WORSE, UNCLEAR = "same", "better", "worse", "unclear"
WORDS = (WORSE, UNCLEAR, BETTER, SAME)
CONFIDENCE = 0.99
_ROWS_CONFIDENCE = 0.95
_HOPELESS = 1e9  # interval over distance to the margin, beyond which no number of draws settles a verdict
_WIDEN = float(stats.norm.isf((1 - CONFIDENCE) / 2) / stats.norm.isf((1 - _ROWS_CONFIDENCE) / 2))


@dataclass(frozen=True)
class Effect:
    """A change from BASE to NEW with its interval; positive is worse.

    form "ratio": log(new / base), margin log(1 + d). "gradient": a difference over the norm of the exact gradient.
    "count": a plain difference.
    """

    form: str
    change: float
    lo: float
    hi: float
    margin: float

    @property
    def word(self) -> str:
        """same: the interval lies within the margin; worse, better: wholly beyond it; unclear: neither."""
        if -self.margin <= self.lo and self.hi <= self.margin:
            return SAME
        if self.lo > self.margin:
            return WORSE
        return BETTER if self.hi < -self.margin else UNCLEAR

    def needed(self, n: float) -> int | None:
        """About how many draws would settle a verdict left unclear by n, if the estimated change is true; or None."""
        distance, half = abs(abs(self.change) - self.margin), (self.hi - self.lo) / 2
        if not (distance > 0 and math.isfinite(half) and half < _HOPELESS * distance):
            return None
        return math.ceil(n * max(1.0, (half / distance) ** 2))

    def __str__(self) -> str:
        if self.form == "count":
            return f"{self.change:+g}"
        if self.form == "ratio":
            return "×" + with_interval(_exp(self.change), _exp(self.lo), _exp(self.hi))
        return with_interval(100 * self.change, 100 * self.lo, 100 * self.hi) + " %"


def exact(form: str, change: float, margin: float) -> Effect:
    """A change between two numbers without error."""
    return Effect(form, change, change, change, margin)


def unknown(change: float, margin: float) -> Effect:
    """A ratio without an interval, of numbers that have no logarithm: unclear."""
    return Effect("ratio", change, -math.inf, math.inf, margin)


def log_ratio(base: float, new: float) -> float:
    """log(new / base); 0 where both are 0."""
    if base == new:
        return 0.0
    possible = base > 0 and new > 0 and 0 < new / base < math.inf
    return math.log(new / base) if possible else math.copysign(math.inf, new - base)


def paired_ratio(base: np.ndarray, new: np.ndarray, margin: float) -> Effect:
    """The ratio of the means of m paired blocks [m], with a jackknife interval on the log scale."""
    change, se = paired_log_ratio(base, new)
    half = float(stats.t.isf((1 - CONFIDENCE) / 2, len(base) - 1)) * se
    return Effect("ratio", change, change - half, change + half, margin)


def ratio(base: tuple[float, float], new: tuple[float, float], degrees: float, margin: float) -> Effect:
    """The ratio of two independent (value, standard error); their relative errors add in quadrature."""
    change = log_ratio(base[0], new[0])
    half = float(stats.t.isf((1 - CONFIDENCE) / 2, degrees)) * math.hypot(base[1] / base[0], new[1] / new[0])
    return Effect("ratio", change, change - half, change + half, margin)


def rounds_ratio(base: np.ndarray, new: np.ndarray, margin: float) -> Effect:
    """The ratio of times measured in rounds [rounds], one process per side and round: Student's interval of log ratios.

    The rounds are the replicates because times of the same code differ by 10 % and more between processes.
    """
    logs = np.log(new / base)
    half = float(stats.t.isf((1 - CONFIDENCE) / 2, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    change = float(logs.mean())
    return Effect("ratio", change, change - half, change + half, margin)


Bounds = tuple[float, float, float]


def difference(form: str, base: Bounds, new: Bounds, margin: float) -> Effect:
    """new - base of two independent (value, lo, hi); the half-widths that face each other add in quadrature.

    Zou & Donner 2008 (MOVER); the rows' 95 % half-widths are widened to CONFIDENCE.
    """
    (b, b_lo, b_hi), (n, n_lo, n_hi) = base, new
    change = n - b
    below, above = _WIDEN * math.hypot(n - n_lo, b_hi - b), _WIDEN * math.hypot(n_hi - n, b - b_lo)
    return Effect(form, change, change - below, change + above, margin)


def percent(margin: float) -> str:
    return f"{plain(100 * margin)} %"


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
