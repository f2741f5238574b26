"""The table of the searches of a protocol: how much each method gained from its trials."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..report.numbers import MISSING
from ..report.tables.table import Table
from .protocol import Protocol
from .scale import Scale
from .selection import best, outcomes, scored
from .table import label

_CAPTION = (
    "The search of each method: {metric} of its trials, in nats. Gain: by how much the best trial is better than the "
    "median one; a diverged trial is the worst. The best of noisy numbers looks too good: beside it is the mean of the "
    "chosen trial over the reporting seeds."
)


def search_table(rows: pd.DataFrame, protocol: Protocol, scale: Scale) -> Table:
    """One line per setting and method that was searched. rows: those of the selection and reporting seeds."""
    sign = -1.0 if protocol.negated else 1.0
    scores = scored(rows, protocol, scale)
    choices = best(scores, protocol, scale)
    ends = outcomes(rows, protocol, protocol.selection_metric)
    reported = ends[ends["seed"].isin(range(scale.seeds))].groupby(["estimator", "task"])["score"].mean()
    lines = []
    for (method, setting), choice in choices.items():
        known = np.array([score for score in scores[method, setting] if not np.isnan(score)])
        if len(scores[method, setting]) < 2:
            continue
        top, median = known.max(), np.median(known)
        line = {"setting": setting, "method": method, "trials": len(known), "diverged": int(np.isinf(known).sum())}
        line |= {"median": sign * median, "best": sign * top, "gain": top - median if np.isfinite(median) else np.nan}
        line |= {"reporting seeds": sign * reported.get(tuple(map(str, choice)), np.nan)}
        lines.append(line | {"chosen": label(protocol, choice)})
    numbers = pd.DataFrame(lines)
    metric = f"{'minus the' if protocol.negated else 'the'} {protocol.selection_metric}"
    text = numbers.map(lambda value: _text(value) if isinstance(value, float) else str(value))
    return Table("search", _CAPTION.format(metric=metric), numbers, text)


def _text(value: float) -> str:
    if np.isfinite(value):
        return f"{value:.2f}"
    return MISSING if np.isnan(value) else "diverged"
