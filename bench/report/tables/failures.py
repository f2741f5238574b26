"""The table of what could not be measured, and why."""

from __future__ import annotations

import pandas as pd

from ...rows import NOT_APPLICABLE
from ..rows import CELL, UNSUPPORTED
from .table import Table, informative, one_line

_CAPTION = "Cells that failed, and measurements whose status warns against their values."


def failures_table(rows: pd.DataFrame) -> Table:
    """One line per cell, status and reason, with the sources, seeds, groups and metrics that share them."""
    failed = rows[~rows["status"].isin(["ok", NOT_APPLICABLE])]
    failed = failed[(failed["metric"] != "") | (failed["status"] != UNSUPPORTED)]
    keys = [*CELL, "status", "reason"]
    lines = failed.groupby(keys, as_index=False).agg(dict.fromkeys(["source", "seed", "group", "metric"], _join))
    numbers = lines[[*CELL, "source", "seed", "group", "metric", "status", "reason"]]
    text = numbers.drop(columns="metric").map(lambda cell: one_line(str(cell)))
    return Table("failures", _CAPTION, numbers, informative(text), key=("estimator", "status", "reason"))


def _join(values: pd.Series) -> str:
    return ", ".join(str(value) for value in sorted(set(values)) if value != "")
