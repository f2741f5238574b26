"""The table of variance and cost: per evaluation, per second, and against the best unbiased estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...statistics.paired import paired_log_ratio
from ..numbers import plain, with_interval
from ..rows import CELL, sizes
from ..verdicts import UNBIASED
from .table import Table, informative

_CAPTION = (
    "Variance and cost on toys. Variance per evaluation: variance times evaluations of f. Work-normalised variance: "
    "variance times microseconds per draw. Ratio: variance over the smallest variance of an unbiased estimator, both "
    "from the same random streams, paired by block; brackets are 95 per cent intervals;"
)
_PLACE = [name for name in CELL if name != "estimator"]
_T = 2.0  # about the 97.5 % quantile of Student's t with the 63 degrees of freedom of 64 blocks
_ROUNDING = 1e-12  # a smaller variance is rounding


def efficiency_table(rows: pd.DataFrame, toys: pd.DataFrame) -> Table:
    """One line per task and estimator with a variance; toys: the numbers of the toy table."""
    numbers: Any = toys[toys["variance"] > _ROUNDING].copy()
    numbers["per_evaluation"] = numbers["variance"] * numbers["evaluations"]
    numbers["work_normalised"] = numbers["variance"] * numbers["time"]
    ends = ["ratio", "ratio_lo", "ratio_hi"]
    blocks, ratios = _blocks(rows), {index: ("", np.nan, np.nan, np.nan) for index in numbers.index}
    for _, part in numbers.groupby(_PLACE):
        unbiased = part[part["verdict"] == UNBIASED]
        if len(unbiased) < 1 or len(part) < 2:
            continue
        best = unbiased.loc[unbiased["variance"].idxmin(), [*CELL, "variance"]].to_dict()
        for index, line in zip(part.index, part[[*CELL, "variance"]].to_dict("records"), strict=True):
            ratios[index] = (best["estimator"], *_ratio(best, line, blocks))
    numbers["reference"] = [reference for reference, *_ in ratios.values()]
    numbers[ends] = np.array([ratio for _, *ratio in ratios.values()]).reshape(-1, 3)
    numbers = numbers.sort_values([*_PLACE, "work_normalised", "variance"], ignore_index=True)
    text = numbers[[*_PLACE, "estimator", "verdict"]].assign(
        **{
            "per evaluation": numbers["per_evaluation"].map(plain),
            "work-normalised": numbers["work_normalised"].map(plain),
            "ratio to the best unbiased": [
                with_interval(x["ratio"], x["ratio_lo"], x["ratio_hi"])
                + (f" (to {x['reference']})" if x["reference"] else "")
                for x in numbers.to_dict("records")
            ],
        }
    )
    columns = [*CELL, "verdict", "variance", "per_evaluation", "work_normalised", "reference", *ends]
    near = (numbers["verdict"] == UNBIASED) & ~(numbers["ratio_lo"] > 1) & numbers["ratio"].notna()
    caption = f"{_CAPTION} {sizes(rows, 'var_total', 'draws')}. Bold: unbiased, with an interval that reaches 1."
    return Table(
        "efficiency",
        caption,
        numbers[columns],
        informative(text),
        {"ratio to the best unbiased": near.tolist()},
        ("estimator", "ratio to the best unbiased", "work-normalised", "per evaluation", "verdict"),
    )


def _blocks(rows: pd.DataFrame) -> dict[tuple[str, ...], np.ndarray]:
    """[cell] -> the block values of the logits gradient's variance, seed after seed."""
    if "blocks" not in rows:
        return {}
    found = rows[(rows["metric"] == "var_total") & (rows["group"] == "cut") & rows["blocks"].notna()]
    groups: Any = found.sort_values("seed", kind="stable").groupby(CELL)["blocks"]
    return {tuple(map(str, cell)): np.concatenate(list(part)) for cell, part in groups}


def _ratio(base: Any, new: Any, blocks: dict[tuple[str, ...], np.ndarray]) -> tuple[float, float, float]:
    if base["estimator"] == new["estimator"]:
        return 1.0, 1.0, 1.0
    ours, theirs = (blocks.get(tuple(str(line[key]) for key in CELL)) for line in (base, new))
    if ours is None or theirs is None or len(ours) != len(theirs) or not (ours.min() > 0 and theirs.min() > 0):
        return float(new["variance"] / base["variance"]), np.nan, np.nan
    change, se = paired_log_ratio(ours, theirs)
    lo, hi = np.exp([change - _T * se, change + _T * se])
    return float(np.exp(change)), float(lo), float(hi)
