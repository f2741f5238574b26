"""Estimates from the moments of gradient draws, with intervals: bias, variance, squared error, signal to noise.

In all of them `exact` is the exact gradient [D]; intervals are at 95 %.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ..rows import Quantity
from .jackknife import jackknife_variance

if TYPE_CHECKING:
    from .moments import Moments

Z = float(stats.norm.isf(0.025))


@cache
def t_quantile(level: float, degrees: float) -> float:
    """Student's upper quantile, remembered: scipy needs 0.1 ms for each, and a ranking asks for thousands."""
    return float(stats.t.isf(level, degrees))


"""The half-width of a 95 % normal interval in standard errors, for standard errors known well enough."""


def bias_norm(moments: Moments, exact: np.ndarray) -> Quantity:
    """||bias||, corrected for its own noise: sqrt(max(0, ||mean error||² - tr(S)/n)), with a delta-method interval."""
    squared = bias_squared(moments, exact)
    value = float(np.sqrt(max(squared.value, 0.0)))
    lo, hi = (float(np.sqrt(max(bound, 0.0))) for bound in (squared.lo, squared.hi))
    return Quantity(value, squared.se / (2 * value) if value else float("nan"), lo, hi)


def bias_squared(moments: Moments, exact: np.ndarray) -> Quantity:
    """The unbiased estimate ||mean error||² - tr(S)/m from m block means, which can be negative; jackknife interval."""
    error = moments.block_means - exact
    m = len(error)
    total, squares = error.sum(0), (error**2).sum(1)

    def unbiased(count: int, norm2: np.ndarray, own: np.ndarray) -> np.ndarray:
        return (norm2 - own) / (count * (count - 1))

    value = float(unbiased(m, total @ total, squares.sum()))
    without = total @ total - 2 * error @ total + squares
    leave_one_out = unbiased(m - 1, without, squares.sum() - squares)
    se = float(np.sqrt(jackknife_variance(leave_one_out)))
    t = stats.t.isf(0.025, m - 1)
    return Quantity(value, se, value - t * se, value + t * se)


def total_variance(moments: Moments) -> Quantity:
    """tr Cov of one draw, with an interval on the log scale.

    The relative half-width is the larger of two: the jackknife's over blocks, and Bonett's (2006), sqrt((κ - (n-3)/n) /
    (n-1)) with κ = `moments.kurtosis`. Both are needed: κ is 1 for two-point data and unknown for draws seen as sums.
    The upper end allows for one more draw like the largest, since a sample shows little of a heavy tail.
    """
    value, n, m = float(moments.variance.sum()), moments.n, len(moments.block_means)
    if value == 0:
        return Quantity(0.0, 0.0, 0.0, 0.0)
    if moments.block_spread is not None:
        parts = moments.block_spread
    else:
        parts = (n / m) * ((moments.block_means - moments.mean) ** 2).sum(1) * m / (m - 1)
    relative = float(parts.std(ddof=1) / np.sqrt(m)) / value
    half, peak = float(stats.t.isf(0.025, m - 1)) * relative, 0.0
    if np.isfinite(moments.kurtosis):
        bonett = float(np.sqrt(max(0.0, moments.kurtosis - (n - 3) / n) / (n - 1)))
        half, peak = max(half, Z * bonett), moments.peak
        relative = max(relative, bonett)
    return Quantity(value, relative * value, value / float(np.exp(half)), value * float(np.exp(half)) * (1 + peak))


HEAVY_KURTOSIS, HEAVY_PEAK = 0.05, 0.1


def heavy_tailed(moments: Moments) -> bool:
    """Whether no interval for the variance can be trusted: kurtosis/n above .05, or more than 10 % from one draw."""
    return moments.kurtosis / moments.n > HEAVY_KURTOSIS or moments.peak > HEAVY_PEAK


def mean_squared_error(moments: Moments, exact: np.ndarray) -> Quantity:
    """E ||g - exact||² = ||bias||² + tr Cov, the sum of their unbiased estimates; the standard errors add as
    independent ones.
    """
    bias, variance = bias_squared(moments, exact), total_variance(moments)
    value, se = bias.value + variance.value, float(np.hypot(bias.se, variance.se))
    return Quantity(value, se, value - Z * se, value + Z * se)


def signal_to_noise(moments: Moments) -> tuple[np.ndarray, float]:
    """|E g_d| / sd(g_d) of the coordinates whose sd exceeds rounding errors, [kept], and the share of them in D.

    This plug-in estimate is biased upwards at small n: by about sqrt(2/(π n)) where the signal is zero.
    """
    sd = np.sqrt(moments.variance)
    kept = sd > 8 * np.finfo(np.float32).eps * np.maximum(moments.rms, moments.rms.max() * 1e-3)
    return np.abs(moments.mean[kept]) / sd[kept], float(kept.mean())


def cosine_of_mean(moments: Moments, exact: np.ndarray) -> float:
    """cos(E g, exact gradient); NaN where either is zero."""
    lengths = np.linalg.norm(moments.mean) * np.linalg.norm(exact)
    return float(moments.mean @ exact / lengths) if lengths else float("nan")


def relative_bias_between(draws: np.ndarray, reference: np.ndarray) -> Quantity:
    """||E g - E r|| / ||E r|| from draws g [n, D] and reference draws r [m, D], neither mean known exactly.

    Squared means are U-statistics, so that noise does not look like bias. The interval is a jackknife over g and r, so
    that it includes the error of the reference. NaN where all reference draws are zero, as those of a q are that is
    certain of its z.
    """
    if not reference.any():
        return Quantity(float("nan"))
    g, r = draws.astype(np.float64), reference.astype(np.float64)
    g_g, g_g_without = _squared_mean(g @ g.T)
    r_r, r_r_without = _squared_mean(r @ r.T)
    across = g @ r.T
    n, m = across.shape
    without_g = (across.sum() - across.sum(1)) / ((n - 1) * m)
    without_r = (across.sum() - across.sum(0)) / (n * (m - 1))
    value = (g_g + r_r - 2 * across.mean()) / r_r
    spread = jackknife_variance((g_g_without + r_r - 2 * without_g) / r_r)
    spread += jackknife_variance((g_g + r_r_without - 2 * without_r) / r_r_without)
    se = np.sqrt(spread)
    root, lo, hi = (float(np.sqrt(max(0.0, bound))) for bound in (value, value - Z * se, value + Z * se))
    return Quantity(root, se / (2 * root) if root else float("nan"), lo, hi)


def _squared_mean(gram: np.ndarray) -> tuple[float, np.ndarray]:
    """||E g||² without bias, as the mean of the Gram matrix over pairs of different draws; and the same without each
    draw in turn, [n].
    """
    n, others = len(gram), gram.sum(1) - np.diag(gram)
    return float(others.sum() / (n * (n - 1))), (others.sum() - 2 * others) / ((n - 1) * (n - 2))


def median(samples: np.ndarray) -> Quantity:
    """The median with its order-statistic interval (exact binomial, 95 %)."""
    ordered, n = np.sort(samples), len(samples)
    low = max(0, int(stats.binom.ppf(0.025, n, 0.5)) - 1)
    return Quantity(float(np.median(ordered)), float("nan"), float(ordered[low]), float(ordered[n - 1 - low]))


def mean(samples: np.ndarray) -> Quantity:
    """The mean with Student's interval; no interval for a single sample."""
    value, n = float(np.mean(samples)), len(samples)
    if n < 2:
        return Quantity(value)
    se = float(np.std(samples, ddof=1) / np.sqrt(n))
    t = float(stats.t.isf(0.025, n - 1))
    return Quantity(value, se, value - t * se, value + t * se)


def share_interval(hits: float, runs: float, level: float = 0.05) -> tuple[float, float]:
    """The exact interval of a share (Clopper & Pearson 1934) at confidence 1 - level."""
    lo = stats.beta.ppf(level / 2, hits, runs - hits + 1) if hits > 0 else 0.0
    hi = stats.beta.ppf(1 - level / 2, hits + 1, runs - hits) if hits < runs else 1.0
    return float(lo), float(hi)
