"""Candidates from stored rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...estimators.names import Name, UsageError
from ...estimators.registry import ESTIMATORS
from ..rows import NOT_APPLICABLE
from ..sources import CLOCK, DRAWS
from ..statistics.products import Products
from .candidate import EXPECTATION, Candidate

PRODUCTS = ("along", "mean_sq", "gradient_norm", "var_total")
_KEYS = ("estimator", "source", "metric")
OF_CELL = ("evaluations", "differentiations", "time_total", "targets_expectation")


class Measured(NamedTuple):
    """What is read of a row."""

    value: float
    n: int
    blocks: Sequence[float] | None
    status: str
    reason: str
    seed: int


Lines = dict[tuple[str, str], list[Measured]]
"""(source, metric) -> the rows of one estimator, by seed."""


def candidates(rows: pd.DataFrame, group: str = "cut") -> list[Candidate]:
    """The estimators of one task, data set and device that have gradient draws against an exact gradient.

    rows: as a run stored them. Seeds are combined: their draws are independent. Left out are estimators without the
    rows of the collector `products`, and gradients whose exact value is zero.
    """
    of_group = (rows["group"] == group) & rows["metric"].isin(PRODUCTS)
    kept = rows[rows["source"].isin([DRAWS.name, CLOCK.name]) & (of_group | rows["metric"].isin(OF_CELL))]
    columns = [*_KEYS, *Measured._fields]
    kept = kept.sort_values("seed", kind="stable").reindex(columns=columns)
    found: dict[str, Lines] = {}
    for name, source, metric, *read in zip(*map(kept.get, columns), strict=True):
        found.setdefault(str(name), {}).setdefault((source, metric), []).append(Measured(*read))
    return [candidate for name in sorted(found) for candidate in _candidate(name, found[name])]


def _candidate(name: str, lines: Lines) -> Iterator[Candidate]:
    along, mean, norm, variance = (lines.get((DRAWS.name, metric)) for metric in PRODUCTS)
    if along is None or mean is None or norm is None or variance is None or not _mean(norm) > 0:
        return
    if not _whole(along, mean):
        return
    doubts = [line.reason for line in variance if line.status not in ("ok", NOT_APPLICABLE)]
    n, blocks = sum(line.n for line in along), [0 if line.blocks is None else len(line.blocks) for line in along]
    if n <= sum(blocks):
        doubts.append("one gradient draw per block: too few to estimate its variance")
    products = Products.of_blocks(
        n,
        np.concatenate([line.blocks for line in along]),
        np.concatenate([line.blocks for line in mean]),
        np.concatenate([_variances(line, count) for line, count in zip(variance, blocks, strict=True)]),
        _mean(norm) ** 2,
    )
    yield Candidate(
        name,
        products,
        _mean(lines.get((DRAWS.name, "evaluations"))),
        _mean(lines.get((DRAWS.name, "differentiations"))),
        seconds=_mean(lines.get((CLOCK.name, "time_total"))) / 1e6,
        objective=objective(name, lines[DRAWS.name, "targets_expectation"][0].reason),
        noise="seeds " + ", ".join(str(line.seed) for line in along),
        untrusted=doubts[0] if doubts else "",
    )


def _whole(along: Sequence[Measured], mean: Sequence[Measured]) -> bool:
    """Whether the rows of both products have finite block means of the same number; a stranger's need not."""
    pairs = [(one.blocks, two.blocks) for one, two in zip(along, mean, strict=False)]
    return len(along) == len(mean) and all(
        one is not None and two is not None and len(one) == len(two) and bool(np.isfinite([one, two]).all())
        for one, two in pairs
    )


def _variances(line: Measured, blocks: int) -> np.ndarray:
    """The variance within each block of draws, without bias; 0 for an estimator that draws nothing."""
    if line.status == NOT_APPLICABLE:
        return np.zeros(blocks)
    spread = np.asarray(line.blocks, dtype=float)
    draws = line.n / len(spread)
    return spread * draws / max(draws - 1, 1)


def _mean(lines: Sequence[Measured] | None) -> float:
    """The mean of their values, without those that are missing; NaN where there is none."""
    values = [line.value for line in lines or () if not math.isnan(line.value)]
    return float(np.mean(values)) if values else math.nan


def objective(name: str, target: str) -> str:
    """The objective whose candidates an estimator is compared with, from its name and the target that it claims.

    Bounds of different numbers of samples are different objectives.
    """
    if target == "other-law":
        return "E f under another distribution"
    if target == "penalised":
        return "E f plus a penalty on q"
    if target != "bound":
        return EXPECTATION
    try:
        rules = ESTIMATORS.find(Name.parse(name).family).fact("hyperparameters", {})
    except UsageError:  # rows of a plugin that is not installed here
        rules = {}
    n = Name.parse(name).values.get("n", rules.get("n", {}).get("default"))
    return f"bound of {n} samples" if n else "bound"
