"""How often the bias test, its smallest detectable bias and the variance interval err on known distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.random import Generator, default_rng

from ..compare.effect import WORDS, ratio
from ..compare.metrics import MARGINS
from ..statistics import bias_test as ub
from ..statistics import intervals as st
from ..statistics.moments import Moments
from .cases import BLOCKS, Case

LEVELS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
RANDOM_DIRECTIONS = 50
SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
PROMISED, ANYWHERE = "scale, 1 x detectable", "random direction, 1 x detectable"

Row = dict[str, Any]


def calibrate(case: Case, seed: int, null_runs: int, power_runs: int, variance_runs: int) -> Iterator[Row]:
    """All rows of a case: part, quantity, hits in so many runs, value. The same seed gives the same rows."""
    parts: dict[str, tuple[Callable[[Case, Generator, int], Iterator[Row]], int]] = {
        "level": (false_alarms, null_runs),
        "power": (power, power_runs),
        "variance": (variance, variance_runs),
    }
    about = {"case": case.name, "about": case.about, "coordinates": len(case.exact), "n": case.n}
    for name in case.parts:
        part, runs = parts[name]
        for row in part(case, default_rng([seed, crc32(f"{case.name}/{case.n}/{name}".encode())]), runs):
            yield about | {"part": name} | row


def false_alarms(case: Case, rng: Generator, runs: int) -> Iterator[Row]:
    """The share of runs that are not testable, and the share of the others that call the true mean biased."""
    p = np.array([ub.bias_p_value(moments, case.exact, 1.0) for moments in case.moments(rng, runs)])
    yield _share("not testable", np.isnan(p))
    for level in LEVELS:
        yield _share(f"{level:g}", p[~np.isnan(p)] <= level)


def power(case: Case, rng: Generator, runs: int) -> Iterator[Row]:
    """Runs that detect a planted bias at ALPHA; `value` is the size of the bias relative to the exact gradient.

    Planted are scale errors in multiples of the smallest detectable bias (its median over as many other runs); errors
    of one or all coordinates in multiples of their standard errors, up or down; an error of a constant coordinate by a
    thousandth of the largest coordinate; and the bias promised to be detectable in a random direction, a new direction
    in each run.
    """
    exact, norm = case.exact, float(np.linalg.norm(case.exact))
    sizes, anywhere, variance = [], [], np.zeros(len(exact))
    for run, moments in enumerate(case.moments(rng, runs)):
        sizes.append(ub.smallest_detectable_bias(moments, exact, 1.0))
        variance += moments.variance / runs
        if run < RANDOM_DIRECTIONS:
            anywhere.append(norm * ub.detectable_anywhere(moments, exact, 1.0))
    detectable, size, se = float(np.median(sizes)), float(np.median(anywhere)), np.sqrt(variance / case.n)
    planted = {f"scale, {scale:g} x detectable": scale * detectable * exact for scale in SCALES}
    if len(exact) > 1:
        direction = se * rng.choice([-1.0, 1.0], len(exact))
        planted |= {f"all coordinates, {times:g} se": times * direction for times in (0.5, 1, 2)}
        planted |= {f"one coordinate, {times:g} se": times * se * _unit(se, int(se.argmax())) for times in (4, 6, 8)}
    if se.min() == 0:
        planted["a constant, a thousandth"] = 1e-3 * np.abs(exact).max() * _unit(se, int(se.argmin()))
    if len(exact) > 1:
        planted[ANYWHERE] = size * _direction(rng, len(exact))
    found = {name: 0 for name in planted}
    for moments in case.moments(rng, runs):
        for name, bias in planted.items():
            found[name] += ub.bias_p_value(shifted(moments, bias), exact, 1.0) <= ub.ALPHA
        if ANYWHERE in planted:
            planted[ANYWHERE] = size * _direction(rng, len(exact))
    for name, bias in planted.items():
        yield {"quantity": name, "hits": found[name], "runs": runs, "value": float(np.linalg.norm(bias)) / norm}


def variance(case: Case, rng: Generator, runs: int) -> Iterator[Row]:
    """How often the interval of the total variance covers the true one, and the verdicts of A/A comparisons.

    Runs that `heavy_tailed` refuses have no interval. Each pair of the others, two runs of the same distribution, is
    compared with one look.
    """
    moments = [case.accumulated(rng) for _ in range(runs)]
    refused = np.array([st.heavy_tailed(m) for m in moments])
    judged = [st.total_variance(m) for m, out in zip(moments, refused, strict=True) if not out]
    lo, hi = np.array([(total.lo, total.hi) for total in judged]).reshape(-1, 2).T
    yield {"quantity": "kurtosis", "value": float(np.median([m.kurtosis for m in moments]))}
    yield {"quantity": "half-width", "value": float(np.median(np.sqrt(hi / lo) - 1)) if judged else np.nan}
    yield _share("refused", refused)
    yield _share("covered", (lo <= case.total) & (case.total <= hi))
    yield _share("interval too low", hi < case.total)
    totals, margin = [(total.value, total.se) for total in judged], np.log1p(MARGINS["var_total"])
    pairs = zip(totals[::2], totals[1::2], strict=False)
    words = [ratio(base, new, BLOCKS - 1, margin).word for base, new in pairs]
    for word in WORDS:
        yield _share(word, np.array([found == word for found in words]))


def shifted(moments: Moments, bias: np.ndarray) -> Moments:
    """The same draws, each moved by `bias` [D]."""
    return replace(moments, mean=moments.mean + bias, block_means=moments.block_means + bias)


def _unit(like: np.ndarray, index: int) -> np.ndarray:
    return np.eye(1, len(like), index)[0]


def _direction(rng: Generator, coordinates: int) -> np.ndarray:
    """A random direction, of length 1."""
    normal = rng.standard_normal(coordinates)
    return normal / np.linalg.norm(normal)


def _share(quantity: str, hit: np.ndarray) -> Row:
    return {
        "quantity": quantity,
        "hits": int(hit.sum()),
        "runs": len(hit),
        "value": float(hit.mean()) if len(hit) else np.nan,
    }
