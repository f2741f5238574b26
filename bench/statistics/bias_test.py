"""Is the mean of the draws the exact gradient? Tests from block means, their guards, and the bias they would see."""

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
    """What the mean may be off by, per coordinate [D], beyond what its draws show.

    Rounding: (8 + summed) eps rms(g) from float32 sums, and 8 eps rms(f), since a gradient is a difference of values of
    f. Rare events: one of probability below log(1/alpha)/n has probably not been seen; it would be about as far out as
    twice the largest coordinate's standard deviation. A coordinate needs about a hundred events to rise above this.
    """
    eps = np.finfo(np.float32).eps
    rounding = eps * ((8 + moments.summed) * moments.rms + 8 * f_scale)
    return rounding + 2 * np.sqrt(moments.variance.max()) * np.log(1 / ALPHA) / moments.n


def bias_p_value(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """p-value of "the mean of the draws is `exact`" [D]: the smallest of the tests', times their number (Bonferroni).

    A t test along the exact gradient, which a scale error shows best; mean z² against Satterthwaite's law, which holds
    for correlated coordinates; Hotelling's T² on at most 20 fixed random projections. The noise floor counts as noise
    in all; coordinates that do not rise above it are left out of the last two unless their error is five times as
    large. NaN when the block means are too far from normal to test (`rare_events`).
    """
    error, floor = moments.block_means - exact, noise_floor(moments, f_scale)
    seen = _testable(moments, error, floor)
    if seen is None:
        return float("nan")
    if not np.any(seen):
        return 1.0
    kept, floor_kept = error[:, seen], np.maximum(floor[seen], 1e-100)
    tests = [_satterthwaite(kept, floor_kept)]
    if kept.shape[1] > 1:
        tests += [_hotelling(kept, floor_kept)]
    if len(exact) > 1 and np.any(exact):
        tests += [_along(error, exact, floor)]
    return min(1.0, len(tests) * min(tests))


def biased_coordinates(moments: Moments, exact: np.ndarray, f_scale: float) -> np.ndarray:
    """Where a bias lies: the coordinates whose own t tests Holm (1979) rejects at family-wise ALPHA, strongest first.

    It says where, not whether: that is for `bias_p_value`, which also sees what is spread over many coordinates.
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
    """Which coordinates the tests look at [D], or None when rare events carry too many of them."""
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
    squares = (deviation**2).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = (deviation**4).mean(0) / squares**2 - 3
        skew = (deviation**3).mean(0) / squares**1.5
    return np.where(squares > 0, excess, 0.0), np.where(squares > 0, skew, 0.0)


def unseen_event(moments: Moments, excess: np.ndarray) -> float:
    """What an event of the size of the rarest seen could add to a coordinate that saw none.

    One event of size s and probability p has variance s² p and, over blocks of r draws, excess about 1/(r p).
    """
    rows = moments.n / len(moments.block_means)
    size = np.sqrt(moments.variance * rows * np.where(excess > RARE_COORDINATE, excess, 0.0)).max()
    return float(2 * size * np.log(1 / ALPHA) / moments.n)


def rare_events(excess: np.ndarray, skew: np.ndarray) -> bool:
    """Whether too few draws carry the means of these coordinates for a test to hold its level.

    N equal events over m blocks give an excess of about m/N (a hundred events: .64 with 64 blocks) and a skewness of
    sqrt(m/N). Coordinates with fewer than about a dozen are left out if they are a minority; the others are judged
    together, allowing for the noise of their means.
    """
    common = excess < RARE_COORDINATE
    count = int(common.sum())
    if 2 * count < len(excess):
        return True
    too_peaked = excess[common].mean() > RARE_ON_AVERAGE + 2.5 / np.sqrt(count)
    too_skewed = np.abs(skew[common]).mean() > 1 + 0.5 / np.sqrt(count)
    return bool(too_peaked or too_skewed)


def _satterthwaite(error: np.ndarray, floor: np.ndarray) -> float:
    """mean_d z_d² against the F law with its mean and variance (Satterthwaite), exact for one coordinate."""
    m = len(error)
    sd, degrees, second = _satterthwaite_law(error, floor)
    unit_mean = (m * (error.mean(0) / sd) ** 2).mean() * (m - 3) / (m - 1)
    return float(stats.f.sf(unit_mean * second / (second - 2), degrees, second))


def _satterthwaite_law(error: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, float, float]:
    """sd of each coordinate's block means with the floor [D], and both numbers of degrees of freedom.

    With k = m - 1 and R the correlations, z² of one coordinate is F(1, k), and mean z² has ν = D² / tr(R²) degrees of
    freedom; a second number of degrees is chosen so that its relative variance is 2/ν (k - 1)/(k - 4). tr(R²) comes
    from the Gram matrix of the m blocks, so that no D x D matrix is formed; the floor's part of each unit variance is
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
    """At most PROJECTIONS directions over the coordinates' sd [D, k], and the block means' covariance there [k, k]."""
    m, d = error.shape
    k = min(PROJECTIONS, d)
    scale = np.sqrt(error.var(0, ddof=1) + m * floor**2)
    directions = np.eye(d) if k == d else np.random.default_rng(0).standard_normal((d, k))
    noise = directions.T @ ((floor / scale)[:, None] ** 2 * directions)
    covariance = np.atleast_2d(np.cov((error / scale) @ directions, rowvar=False)) + m * noise
    return directions / scale[:, None], covariance


def smallest_detectable_bias(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """The relative scale error of the exact gradient that a test at ALPHA would have seen with probability POWER."""
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
    """The bias, relative to the exact gradient, seen with probability POWER at ALPHA when its direction is random.

    The mean over DIRECTIONS fixed random directions of the power of the better of two tests, both noncentral F: mean z²
    with ν mean_d δ_d²/s_d² for its noncentrality, and Hotelling with δᵀ S⁻¹ δ, for a bias δ and the covariance S of the
    mean, s_d² its diagonal. NaN where nothing can be tested or the exact gradient is zero.
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
    sd, degrees, second = _satterthwaite_law(error, floor)
    laws = [(degrees, second, degrees * (m * (directions / sd) ** 2).mean(1))]
    if error.shape[1] > 1:
        projection, covariance = _projected(error, floor)
        along, k = directions @ projection, len(covariance)
        unbiased_inverse = (m - k - 2) / (m - 1)
        laws += [(k, m - k, unbiased_inverse * m * (along * np.linalg.solve(covariance, along.T).T).sum(1))]
    level = ALPHA / _number_of_tests(len(exact))

    def missed(log_size: float) -> float:
        """1 - POWER - the share of directions in which a bias of this size goes unseen."""
        sizes = [np.minimum(np.exp(2 * log_size) * nc, 200 + 30 * np.sqrt(a)) for a, _, nc in laws]  # certain beyond
        unseen = [ncfdtr(a, b, nc, stats.f.isf(level, a, b)) for (a, b, _), nc in zip(laws, sizes, strict=True)]
        return float(np.min(unseen, axis=0).mean()) - (1 - POWER)

    middle = -0.5 * float(np.log(max(np.median(nc / a) for a, _, nc in laws)))
    return float(np.exp(brentq(missed, middle - 5, middle + 15)) / norm)
