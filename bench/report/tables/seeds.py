"""The table of test ELBOs across seeds, for estimators with enough seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..numbers import with_interval
from ..rows import CELL, failures
from .table import Table

_CAPTION = (
    "Test ELBO across seeds, for estimators with at least five: the interquartile mean, and the probability that a "
    "seed of this estimator scores above a seed of the best, with 95 per cent bootstrap intervals. "
    "Diverged seeds rank last."
)
_PLACE = [name for name in CELL if name != "estimator"]


def seeds_table(rows: pd.DataFrame) -> Table:
    """One line per task and estimator with five seeds or more, best first."""
    from ...statistics.seeds import interquartile_mean, probability_of_improvement  # imports scipy

    lines = []
    for place, scores in _scores(rows).items():
        middles = {name: interquartile_mean([values]) for name, values in scores.items()}
        best = max(middles, key=lambda name: middles[name].value)
        for name in sorted(middles, key=lambda name: -middles[name].value):
            above = probability_of_improvement([scores[name]], [scores[best]])
            summary = {f"iqm{end}": getattr(middles[name], key) for end, key in _ENDS.items()}
            summary |= {f"improvement{end}": getattr(above, key) for end, key in _ENDS.items()}
            diverged = int(np.isinf(scores[name]).sum())
            lines.append(dict(zip(_PLACE, place, strict=True)) | {"estimator": name, "diverged": diverged} | summary)
    numbers = pd.DataFrame(lines, columns=[*_PLACE, "estimator", "diverged", *_NUMBERS])
    records: Any = numbers.to_dict("records")
    shown: Any = {
        "IQM of test ELBO": [with_interval(x["iqm"], x["iqm_lo"], x["iqm_hi"]) for x in records],
        "P(above the best)": [
            with_interval(x["improvement"], x["improvement_lo"], x["improvement_hi"]) for x in records
        ],
        "diverged": numbers["diverged"].map(str),
    }
    text = numbers[[*_PLACE, "estimator"]].assign(**shown)
    return Table("seeds", _CAPTION, numbers, text)


_ENDS = {"": "value", "_lo": "lo", "_hi": "hi"}
_NUMBERS = [f"{name}{end}" for name in ("iqm", "improvement") for end in _ENDS]


def _scores(rows: pd.DataFrame) -> dict[tuple[str, ...], dict[str, np.ndarray]]:
    """[task, data, device] -> estimator -> the last test ELBO of each seed, -inf where it diverged."""
    from ...statistics.seeds import ENOUGH

    curves = rows[rows["metric"] == "elbo_test"].sort_values("step").drop_duplicates([*CELL, "seed"], keep="last")
    lost = failures(rows)
    lost = lost[lost["status"] == "diverged"].assign(value=-np.inf)
    every: Any = pd.concat([part for part in (lost, curves) if len(part)] or [curves]).drop_duplicates([*CELL, "seed"])
    found: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    for cell, part in every.groupby(CELL):
        if len(part) >= ENOUGH:
            named = dict(zip(CELL, cell, strict=True))
            place = tuple(named[name] for name in _PLACE)
            found.setdefault(place, {})[named["estimator"]] = part.sort_values("seed")["value"].to_numpy()
    return found
