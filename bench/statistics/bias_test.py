"""Is the mean of the draws the exact gradient? Tests on block means, their guards, and the bias they can detect.

In all of them `moments` are those of the gradient draws of one group, `exact` is its exact gradient [D], and `f_scale`
is the root mean square of f.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ncfdtr, nctdtrinc

from .holm import ALPHA

if TYPE_CHECKING:
    from .moments import Moments

POWER = 0.95
PROJECTIONS, DIRECTIONS = 20, 101
RARE_COORDINATE, RARE_ON_AVERAGE = 5.0, 0.64


def noise_floor(moments: Moments, f_scale: float) -> np.ndarray:
    """The error of the mean that its draws do not show, per coordinate [D].

    Rounding: (8 + summed) eps rms(g) from float32 sums, and 8 eps rms(f), since a gradient is a difference of values of
    f. Rare events: an event of probability below log(1/ALPHA)/n has probably not been seen; its size is taken to be
    twice the largest standard deviation of any coordinate. A coordinate needs about a hundred events to rise above
    this floor.
    """
    eps = np.finfo(np.float32).eps
    rounding = eps * ((8 + moments.summed) * moments.rms + 8 * f_scale)
    return rounding + 2 * np.sqrt(moments.variance.max()) * np.log(1 / ALPHA) / moments.n


def bias_p_value(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """p-value of the hypothesis that the mean of the draws is `exact` [D]: the smallest of up to three, by Bonferroni.

    A t test along the exact gradient, which is the most sensitive to a scale error; mean z² against Satterthwaite's
    distribution, which allows for correlated coordinates; Hotelling's T² on at most 20 fixed random projections. All
    three add the noise floor to the noise. The last two leave out the coordinates that do not rise above the floor,
    unless their error is more than five times as large. NaN when the block means are too far from normal to test
    (`rare_events`).
    """
    error, floor = moments.block_means - exact, noise_floor(moments, f_scale)
    seen = _testable(moments, error, floor)
    if seen is None:
        return float("nan")
    if not np.any(seen):
        return 1.0
    kept, floor_kept = error[:, seen], np.maximum(floor[seen], 1e-100)  # no 0/0 where all draws are equal
    tests = [_satterthwaite(kept, floor_kept)]
    if kept.shape[1] > 1:
        tests += [_hotelling(kept, floor_kept)]
    if len(exact) > 1 and np.any(exact):
        tests += [_along(error, exact, floor)]
    return min(1.0, len(tests) * min(tests))


def biased_coordinates(moments: Moments, exact: np.ndarray, f_scale: float) -> np.ndarray:
    """The biased coordinates: those whose t tests Holm's procedure (1979) rejects at family-wise ALPHA.

    Strongest first; empty when the block means are too far from normal to test. They locate a bias. Whether there is
    one is decided by `bias_p_value`, which also detects a bias spread over many coordinates.
    """
    error, floor = moments.block_means - exact, noise_floor(moments, f_scale)
    seen = _testable(moments, error, floor)
    if seen is None:
        return np.array([], dtype=int)
    m = len(error)
    se = np.sqrt(error.var(0, ddof=1) / m + np.maximum(floor, 1e-100) ** 2)
    p = np.where(seen, 2 * stats.t.sf(np.abs(error.mean(0)) / se, m - 1), 1.0)
    order = np.argsort(p, kind="stable")
    stop = p[order] * (seen.sum() - np.arange(len(p))) > ALPHA
    return order[: int(stop.argmax()) if stop.any() else len(p)]


def _testable(moments: Moments, error: np.ndarray, floor: np.ndarray) -> np.ndarray | None:
    """Mask of the coordinates to test [D], or None when rare events dominate too many of them."""
    varies = error.std(0, ddof=1) / np.sqrt(len(error)) > floor
    excess, skew = (np.where(varies, shape, 0.0) for shape in block_shape(error))
    seen = varies | (np.abs(error.mean(0)) > np.maximum(5 * floor, unseen_event(moments, excess)))
    if np.any(seen) and rare_events(excess[seen], skew[seen]):
        return None
    return seen & (excess < RARE_COORDINATE)


def _number_of_tests(coordinates: int) -> int:
    return 3 if coordinates > 1 else 1


def _along(error: np.ndarray, exact: np.ndarray, floor: np.ndarray) -> float:
    """The t test of the error's projection on the exact gradient."""
    direction = exact / np.linalg.norm(exact)
    along = error @ direction
    se = np.sqrt(along.var(ddof=1) / len(along) + ((floor * direction) ** 2).sum())
    return float(2 * stats.t.sf(abs(along.mean()) / max(se, 1e-100), len(along) - 1))


def block_shape(error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Excess kurtosis and skewness of the block means, per coordinate; 0 where they do not vary."""
    deviation = error - error.mean(0)
    squared = deviation**2
    squares = squared.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = (squared**2).mean(0) / squares**2 - 3  # numpy takes ten times as long for **4 and **3
        skew = (squared * deviation).mean(0) / squares**1.5
    return np.where(squares > 0, excess, 0.0), np.where(squares > 0, skew, 0.0)


def unseen_event(moments: Moments, excess: np.ndarray) -> float:
    """The error of a coordinate that saw no event, if events as large as the rarest seen can happen there too.

    An event of size s and probability p has variance s² p and, over blocks of r draws, excess kurtosis about 1/(r p).
    """
    per_block = moments.n / len(moments.block_means)
    size = np.sqrt(moments.variance * per_block * np.where(excess > RARE_COORDINATE, excess, 0.0)).max()
    return float(2 * size * np.log(1 / ALPHA) / moments.n)


def rare_events(excess: np.ndarray, skew: np.ndarray) -> bool:
    """Whether the means of these coordinates rest on too few draws for a test to hold its level.

    N equal events over m blocks give an excess kurtosis of about m/N (.64 for a hundred events in 64 blocks) and a
    skewness of about sqrt(m/N). Coordinates with fewer than about a dozen events are left out if they are a minority.
    The others are judged by their mean excess and mean skewness, with an allowance for the noise of these means.
    """
    common = excess < RARE_COORDINATE
    count = int(common.sum())
    if 2 * count < len(excess):
        return True
    too_peaked = excess[common].mean() > RARE_ON_AVERAGE + 2.5 / np.sqrt(count)
    too_skewed = np.abs(skew[common]).mean() > 1 + 0.5 / np.sqrt(count)
    return bool(too_peaked or too_skewed)


def _satterthwaite(error: np.ndarray, floor: np.ndarray) -> float:
    """mean_d z_d² against the F distribution of its mean and variance (Satterthwaite); exact for one coordinate."""
    m = len(error)
    sd, degrees, second = _satterthwaite_fit(error, floor)
    unit_mean = (m * (error.mean(0) / sd) ** 2).mean() * (m - 3) / (m - 1)  # as E F(1, m - 1) = (m - 1)/(m - 3)
    return float(stats.f.sf(unit_mean * second / (second - 2), degrees, second))


def _satterthwaite_fit(error: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, float, float]:
    """sd of each coordinate's block means with the floor [D], and both numbers of degrees of freedom.

    With k = m - 1 and R the correlations, z² of one coordinate is F(1, k), and mean z² has ν = D² / tr(R²) degrees of
    freedom; the second number of degrees is chosen so that the relative variance is 2/ν (k - 1)/(k - 4). tr(R²) comes
    from the Gram matrix of the m blocks, so that no D x D matrix is formed; the floor's share of each unit variance is
    uncorrelated.
    """
    m, d = error.shape
    variance = error.var(0, ddof=1)
    sd = np.sqrt(variance + m * floor**2)
    standard = (error - error.mean(0)) / sd
    gram = standard @ standard.T / (m - 1)
    own = variance / sd**2
    trace = max(float((gram**2).sum() - own.sum() ** 2 / (m - 1) + (1 - own**2).sum()), float(d))
    degrees = d * d / trace
    spread = (m - 2) / (m - 5)
    second = (degrees - 2 + 4 * spread) / (spread - 1)
    return sd, degrees, second


def _hotelling(error: np.ndarray, floor: np.ndarray) -> float:
    """T² = m x̄ᵀ S⁻¹ x̄ on k fixed random projections, (m - k)/(k (m - 1)) T² ~ F(k, m - k)."""
    m = len(error)
    projection, covariance = _projected(error, floor)
    k, mean = len(covariance), projection.T @ error.mean(0)
    t2 = m * mean @ np.linalg.solve(covariance, mean)
    return float(stats.f.sf(t2 * (m - k) / (k * (m - 1)), k, m - k))


def _projected(error: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """k = min(D, PROJECTIONS) directions divided by the coordinates' sd [D, k], and the covariance of the projected
    block means [k, k], the floor's included.
    """
    m, d = error.shape
    k = min(PROJECTIONS, d)
    scale = np.sqrt(error.var(0, ddof=1) + m * floor**2)
    directions = np.eye(d) if k == d else np.random.default_rng(0).standard_normal((d, k))
    noise = directions.T @ ((floor / scale)[:, None] ** 2 * directions)
    covariance = np.atleast_2d(np.cov((error / scale) @ directions, rowvar=False)) + m * noise
    return directions / scale[:, None], covariance


def smallest_detectable_bias(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """The relative scale error of the exact gradient that a test at ALPHA detects with probability POWER."""
    norm = float(np.linalg.norm(exact))
    if norm == 0:
        return float("nan")
    direction = exact / norm
    along = moments.block_means @ direction
    floor = noise_floor(moments, f_scale) * direction
    se = float(np.sqrt(along.var(ddof=1) / len(along) + floor @ floor))
    level, degrees = ALPHA / _number_of_tests(len(exact)), len(along) - 1
    return float(nctdtrinc(degrees, 1 - POWER, stats.t.isf(level / 2, degrees)) * se / norm)


def detectable_anywhere(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """The bias, relative to the exact gradient, that is detected with probability POWER at ALPHA in a random direction.

    The power is the mean over DIRECTIONS fixed random directions, each by the better of two tests. Both statistics are
    noncentral F: mean z² with noncentrality ν mean_d δ_d²/s_d², and Hotelling's with δᵀ S⁻¹ δ, for a bias δ and the
    covariance S of the mean with diagonal s_d². NaN where nothing can be tested or the exact gradient is zero.
    """
    if len(exact) == 1:
        return smallest_detectable_bias(moments, exact, f_scale)
    error, floor = moments.block_means - exact, noise_floor(moments, f_scale)
    norm, seen = float(np.linalg.norm(exact)), _testable(moments, error, floor)
    if norm == 0 or seen is None or not np.any(seen):
        return float("nan")
    error, floor, m = error[:, seen], np.maximum(floor[seen], 1e-100), len(error)
    directions = np.random.default_rng(1).standard_normal((DIRECTIONS, len(exact)))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True))[:, seen]
    sd, degrees, second = _satterthwaite_fit(error, floor)
    noncentral = [(degrees, second, degrees * (m * (directions / sd) ** 2).mean(1))]
    if error.shape[1] > 1:
        projection, covariance = _projected(error, floor)
        along, k = directions @ projection, len(covariance)
        unbiased_inverse = (m - k - 2) / (m - 1)  # E S⁻¹ is larger than (E S)⁻¹ by its reciprocal
        noncentral += [(k, m - k, unbiased_inverse * m * (along * np.linalg.solve(covariance, along.T).T).sum(1))]
    level = ALPHA / _number_of_tests(len(exact))

    def missed(log_size: float) -> float:
        """The probability of missing a bias of this size, mean over directions, less the 1 - POWER asked for."""
        # noncentralities are capped where detection is certain
        sizes = [np.minimum(np.exp(2 * log_size) * nc, 200 + 30 * np.sqrt(a)) for a, _, nc in noncentral]
        unseen = [ncfdtr(a, b, nc, stats.f.isf(level, a, b)) for (a, b, _), nc in zip(noncentral, sizes, strict=True)]
        return float(np.min(unseen, axis=0).mean()) - (1 - POWER)

    middle = -0.5 * float(np.log(max(np.median(nc / a) for a, _, nc in noncentral)))
    return float(np.exp(brentq(missed, middle - 5, middle + 15)) / norm)
