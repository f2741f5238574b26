"""Comparing trainings across seeds: interquartile mean and probability of improvement with stratified bootstraps.

Source: Agarwal et al. 2021 (Deep RL at the edge of the statistical precipice); in our own code, with a fixed seed.
Higher scores are better; a seed that diverged scores -inf, so that it ranks last and is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..rows import Quantity

ENOUGH = 5
RESAMPLES = 2000


def interquartile_mean(scores: Sequence[np.ndarray]) -> Quantity:
    """The mean of the middle half of all scores, strata pooled. scores: one array [seeds] per stratum (task).

    Raises ValueError with fewer than five seeds in a stratum, where a plot of the single scores says more.
    """
    _check(scores)
    return _bootstrap(lambda *strata: _middle(np.concatenate(strata)), [[stratum] for stratum in scores])


def probability_of_improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Quantity:
    """P(a seed of ours scores above a seed of theirs), a tie counting half; mean over strata. Arguments and errors as
    for `interquartile_mean`.
    """
    _check([*ours, *theirs])

    def mean_over_strata(*pairs: np.ndarray) -> float:
        halves = zip(pairs[::2], pairs[1::2], strict=True)
        return float(np.mean([_above(a, b) for a, b in halves]))

    return _bootstrap(mean_over_strata, [[a, b] for a, b in zip(ours, theirs, strict=True)])


def seed_floor(scores: np.ndarray) -> float:
    """The standard deviation of a score [estimators, seeds] over seeds, without what all scores of a seed share.

    The root of the median over estimators of their variances, so that a few unstable trainings do not set it, over
    that of χ² per degree of freedom. NaN with fewer than two seeds or estimators; NaN scores are left out.
    """
    from scipy import stats  # here, so that tables need no scipy

    complete = scores[np.isfinite(scores).all(1)] if scores.size else scores
    if min(complete.shape) < 2:
        return float("nan")
    seeds = complete.shape[1]
    deviation = complete - complete.mean(1, keepdims=True)  # first, so that no estimator's level is taken for a seed's
    variances = (deviation - np.median(deviation, axis=0)).var(1, ddof=1)
    return float(np.sqrt(np.median(variances) * (seeds - 1) / stats.chi2.median(seeds - 1)))


def _above(a: np.ndarray, b: np.ndarray) -> float:
    return float((a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean())


def _middle(scores: np.ndarray) -> float:
    """The 25 % trimmed mean; the two scores at the edges count in part."""
    ordered, n = np.sort(scores), len(scores)
    edges = np.clip(np.arange(n + 1) - n / 4, 0, n / 2)
    weights = np.diff(edges)
    inside = weights > 0
    return float((ordered[inside] * weights[inside]).sum() / weights.sum())


def _bootstrap(statistic: Callable[..., float], strata: list[list[np.ndarray]]) -> Quantity:
    """The statistic with its percentile interval; every array is resampled independently of the others."""
    generator, arrays = np.random.default_rng(0), [array for stratum in strata for array in stratum]
    resampled = [statistic(*(generator.choice(a, len(a)) for a in arrays)) for _ in range(RESAMPLES)]
    finite = np.sort(resampled)
    lo, hi = finite[round(0.025 * RESAMPLES)], finite[round(0.975 * RESAMPLES) - 1]
    spread = np.std(resampled) if np.isfinite(resampled).all() else float("nan")
    return Quantity(statistic(*arrays), float(spread), float(lo), float(hi))


def _check(scores: Sequence[np.ndarray]) -> None:
    few = min(len(stratum) for stratum in scores)
    if few < ENOUGH:
        raise ValueError(f"{few} seeds are too few for an interquartile mean: run {ENOUGH}, or plot the single scores")
