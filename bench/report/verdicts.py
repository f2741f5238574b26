"""Biased or not: Holm's step-down test over every bias test of a report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..sources import DRAWS
from ..statistics.holm import ALPHA, holm
from .once import once
from .rows import CELL, failures, of_metric, prepare

BIASED, UNBIASED, NOT_TESTABLE = "biased", "unbiased", "not testable"
_KEYS = [*CELL, "group"]


def bias_tests(rows: pd.DataFrame) -> pd.DataFrame:
    """The family of tests: every row with a valid p-value."""
    rows = of_metric(rows, "bias_p")
    return rows[(rows["status"] == "ok") & rows["value"].notna()]


def of_logits(found: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> the verdict on the logits gradient, else the status of a cell that failed."""
    own = found.reset_index()
    return own[own["group"].isin(["cut", ""])].drop_duplicates(CELL, keep="last").set_index(CELL)


@once
def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator, group] -> verdict, p_holm, sdb, sdb_any.

    verdict is "biased" at the family-wise alpha, "unbiased" (sdb, sdb_any: the smallest detectable bias along the
    gradient and in a random direction, the largest of the seeds'), "not testable", or, with group "",
    the status of a cell whose draws failed. One seed that shows a bias makes the verdict "biased".
    """
    rows = prepare(rows)
    family = bias_tests(rows)
    p_holm = pd.Series(holm(family["value"].to_numpy()), index=family.index, dtype=float)
    words = pd.Series(np.where(p_holm <= ALPHA, BIASED, UNBIASED), index=family.index, dtype=object)
    tests = of_metric(rows, "bias_p")
    given = tests["status"].where(tests["status"] != "ok", NOT_TESTABLE)
    tests = tests[_KEYS].assign(verdict=words.reindex(tests.index).fillna(given), p_holm=p_holm)
    failed = failures(rows)
    failed = (
        failed.loc[failed["source"].isin([DRAWS.name, ""]), [*_KEYS, "status"]]
        .rename(columns={"status": "verdict"})
        .assign(p_holm=np.nan)
    )
    tested = pd.MultiIndex.from_frame(tests[CELL])
    failed = failed[~pd.MultiIndex.from_frame(failed[CELL]).isin(tested)].assign(group="")
    every = pd.concat([part for part in (tests, failed) if len(part)] or [tests])
    rank = every["verdict"].map({BIASED: 0, UNBIASED: 1}).fillna(2)
    found = every.assign(rank=rank).sort_values([*_KEYS, "rank", "p_holm"], kind="stable")
    found = found.drop_duplicates(_KEYS).set_index(_KEYS)
    for column, metric in (("sdb", "bias_sdb"), ("sdb_any", "bias_sdb_any")):
        largest = of_metric(rows, metric).groupby(_KEYS)["value"].max()
        found[column] = largest.reindex(found.index)
    return found.drop(columns="rank")
