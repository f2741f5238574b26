"""Whether an estimator that was unbiased has become biased."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..report.verdicts import BIASED, NOT_TESTABLE, UNBIASED
from ..rows import Row
from ..statistics.holm import ALPHA, holm
from .effect import BETTER, CONFIDENCE, SAME, UNCLEAR, WORSE
from .runs import StoredCell, Subject

_LEAST_P = 1e-300


class BiasTest(NamedTuple):
    """The verdict on one group of a subject, and its statistic per draw, z / sqrt(n)."""

    word: str
    p: float
    z_per_draw: float
    n: int

    def __str__(self) -> str:
        return self.word if math.isnan(self.p) else f"{self.word} (p={self.p:.2g})"


Tests = dict[tuple[Subject, str], BiasTest]


def bias_tests(cells: Iterable[StoredCell]) -> Tests:
    """Holm's test over every bias test of these cells at family-wise alpha 1e-3; of several seeds, the most extreme."""
    rows = [(cell.subject, group, row) for cell in cells for group, row in cell.measured("bias_p").items()]
    family = [row["value"] for *_, row in rows if _testable(row)]
    adjusted = iter(holm(np.array(family)))
    found: Tests = {}
    for subject, group, row in rows:
        if _testable(row):
            p = float(next(adjusted))
            z = float(stats.norm.isf(max(row["value"], _LEAST_P) / 2))
            test = BiasTest(BIASED if p <= ALPHA else UNBIASED, p, z / math.sqrt(row["n"]), int(row["n"]))
        else:
            test = BiasTest(row["status"] if row["status"] != "ok" else NOT_TESTABLE, math.nan, math.nan, int(row["n"]))
        other = found.get((subject, group))
        if other is None or math.isnan(other.p) or test.p < other.p:
            found[subject, group] = test
    return found


def _testable(row: Row) -> bool:
    return row["status"] == "ok" and 0 <= row["value"] <= 1 and row["n"] > 0


def judge_bias(base: BiasTest, new: BiasTest) -> tuple[str, str]:
    """The word and its reason.

    A bias found in NEW alone is worse if the statistic grew by more than chance explains, given the draws of both
    sides; else it is unclear, since BASE may have had the bias and too few draws to detect it.
    """
    if base.word == new.word:
        return SAME, ""
    if new.word == NOT_TESTABLE or base.word == NOT_TESTABLE:
        return UNCLEAR, f"{base.word}, now {new.word}"
    if new.word == UNBIASED:
        return BETTER, "unbiased now"
    noise = math.sqrt(1 / base.n + 1 / new.n)
    if (new.z_per_draw - base.z_per_draw) / noise > stats.norm.isf((1 - CONFIDENCE) / 2):
        return WORSE, "biased"
    return UNCLEAR, "biased, by little more than BASE could detect"
