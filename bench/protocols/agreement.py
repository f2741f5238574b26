"""Whether a published number and ours differ by more than chance: their difference, with an interval."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from scipy import stats

from ..rows import Quantity

ENOUGH = 39
"""Runs whose range holds one more run with a probability of 95 %: 1 - 2 / (n + 1)."""


def difference(line: Any, runs: int) -> Quantity:
    """Ours less theirs with a 95 % interval that includes the chance in theirs. line: one of a protocol's table.

    runs: how many runs theirs averages, 0 if that is unknown. Theirs has the published spread or else that of our runs;
    with runs unknown it counts as one run. A single run of ours has the published spread too, or else no interval. If
    theirs is a single run, its interval is the range of ours, given at least ENOUGH of them: that holds for any
    distribution. Half a unit of the last published digit is added on both sides.
    """
    value, theirs, n = line["ours"] - line["theirs"], line["theirs"], line["seeds"]
    known = not math.isnan(line["spread"])
    if n < 2:
        if not known or runs < 2:
            return Quantity(value)
        half = float(stats.t.isf(0.025, runs - 1)) * line["spread"] * math.sqrt(1 + 1 / runs)
        lo, hi = value - half, value + half
    elif line["least"] == line["most"]:
        lo, hi = line["lo"] - theirs, line["hi"] - theirs
    elif runs == 1 and not known and n >= ENOUGH:
        lo, hi = line["least"] - theirs, line["most"] - theirs
    else:
        of_ours = line["sd"] ** 2 / n
        of_theirs = (line["spread"] if known else line["sd"]) ** 2 / max(runs, 1)
        shares = of_ours**2 / (n - 1) + (of_theirs**2 / (runs - 1) if known and runs > 1 else 0.0)
        total = of_ours + of_theirs
        # Their variance is ours where no spread is published, so that only our degrees of freedom enter.
        freedom = total**2 / shares if known and runs > 1 else n - 1
        half = float(stats.t.isf(0.025, freedom)) * math.sqrt(total)
        lo, hi = value - half, value + half
    digit = last_digit(theirs) / 2
    return Quantity(value, lo=lo - digit, hi=hi + digit)


def last_digit(value: float) -> float:
    """One unit of the last digit of a number as it was typed: .01 of 3.14. Trailing zeros are not known."""
    exponent = Decimal(repr(float(value))).as_tuple().exponent
    assert isinstance(exponent, int)
    return float(10.0**exponent)
