"""Which cells of a table are bold: the best, and those not significantly worse by the stored intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..rows import SETTING

BOLD = "Bold: the best of each task and those not significantly worse, whose intervals overlap the interval of the best"


def not_worse(numbers: pd.DataFrame, name: str, eligible: pd.Series | None = None, higher: bool = False) -> list[bool]:
    """For each line, whether it is the best eligible one of its task, or its interval overlaps that of the best.

    `numbers` has the columns of SETTING and name, name_lo, name_hi; without an interval, the value is both its ends.
    higher: larger values are better.
    """
    sign = -1.0 if higher else 1.0
    ends = (f"{name}_hi", f"{name}_lo") if higher else (f"{name}_lo", f"{name}_hi")
    value = sign * numbers[name]
    low, high = ((sign * numbers[end]).fillna(value) for end in ends)
    able = value.notna() if eligible is None else value.notna() & eligible
    bold = pd.Series(False, index=numbers.index)
    for _, part in value[able].groupby([numbers.loc[able, key] for key in SETTING]):
        best: Any = part.idxmin()
        bold[part.index] = low[part.index] <= high[best]
    return bold.tolist()
