"""Candidates from stored rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ...estimators.names import Name, UsageError
from ...estimators.registry import ESTIMATORS
from ..rows import NOT_APPLICABLE
from ..sources import CLOCK, DRAWS
from ..statistics.products import Products
from .candidate import EXPECTATION, Candidate

PRODUCTS = ("along", "mean_sq", "gradient_norm", "var_total")
OF_CELL = ("evaluations", "differentiations", "time_total", "targets_expectation")
Lines = dict[tuple[str, str], pd.DataFrame]
"""(source, metric) -> the rows of one estimator, by seed."""


def candidates(rows: pd.DataFrame, group: str = "cut") -> list[Candidate]:
    """The estimators of one task, data set and device that have gradient draws against an exact gradient.

    rows: as a run stored them. Seeds are combined: their draws are independent. Left out are estimators without the
    rows of the collector `products`, and gradients whose exact value is zero.
    """
    of_group = (rows["group"] == group) & rows["metric"].isin(PRODUCTS)
    kept = rows[rows["source"].isin([DRAWS.name, CLOCK.name]) & (of_group | rows["metric"].isin(OF_CELL))]
    kept = kept.sort_values("seed", kind="stable")
    found: list[Candidate] = []
    for name, own in kept.groupby("estimator", sort=True):
        lines: Any = dict(iter(own.groupby(["source", "metric"])))
        found += _candidate(str(name), lines)
    return found


def _candidate(name: str, lines: Lines) -> Iterator[Candidate]:
    along, mean, norm, variance = (lines.get((DRAWS.name, metric)) for metric in PRODUCTS)
    if along is None or mean is None or norm is None or variance is None or not norm["value"].mean() > 0:
        return
    if not _whole(along, mean):
        return
    doubts = variance.loc[~variance["status"].isin(["ok", NOT_APPLICABLE]), "reason"].tolist()
    blocks = [len(pseudo_values) for pseudo_values in along["blocks"]]
    if int(along["n"].sum()) <= sum(blocks):
        doubts.append("one gradient draw per block: too few to estimate its variance")
    products = Products.of_blocks(
        int(along["n"].sum()),
        np.concatenate(along["blocks"].tolist()),
        np.concatenate(mean["blocks"].tolist()),
        np.concatenate(
            [_variances(line, count) for line, count in zip(variance.to_dict("records"), blocks, strict=True)]
        ),
        float(norm["value"].mean()) ** 2,
    )
    yield Candidate(
        name,
        products,
        _mean(lines, DRAWS.name, "evaluations"),
        _mean(lines, DRAWS.name, "differentiations"),
        seconds=_mean(lines, CLOCK.name, "time_total") / 1e6,
        objective=objective(name, lines[DRAWS.name, "targets_expectation"]["reason"].iloc[0]),
        noise="seeds " + ", ".join(map(str, along["seed"])),
        untrusted=doubts[0] if doubts else "",
    )


def _whole(along: pd.DataFrame, mean: pd.DataFrame) -> bool:
    """Whether the rows of both products have finite block means of the same number; a stranger's need not."""
    pairs = list(zip(along["blocks"], mean["blocks"], strict=False))
    return len(along) == len(mean) and all(
        one is not None and two is not None and len(one) == len(two) and np.isfinite([*one, *two]).all()
        for one, two in pairs
    )


def _variances(line: dict[Any, Any], blocks: int) -> np.ndarray:
    """The variance within each block of draws, without bias; 0 for an estimator that draws nothing."""
    if line["status"] == NOT_APPLICABLE:
        return np.zeros(blocks)
    spread = np.asarray(line["blocks"], dtype=float)
    draws = line["n"] / len(spread)
    return spread * draws / max(draws - 1, 1)


def _mean(lines: Lines, source: str, metric: str) -> float:
    found = lines.get((source, metric))
    return math.nan if found is None else float(found["value"].mean())


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
