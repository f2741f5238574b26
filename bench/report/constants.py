"""Unbiased up to a constant: whether the biased logits gradients are the exact ones times one c > 0."""

from __future__ import annotations

import pandas as pd

from ..sources import DRAWS
from ..statistics.holm import ALPHA, holm
from .rows import CELL, measured

BENT = "bent"


def constants(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> scale, scale_lo, scale_hi, bent, least, most, of the logits gradient.

    scale: c of E g = c ∇, with its 95 % interval. bent: whether Holm's test over all bend tests of the report rejects
    that there is such a c at the family-wise alpha, at one seed or more; NaN where it cannot be tested. least, most:
    the range of the data points' own c, where there are several.
    """
    tests = rows[(rows["metric"] == "bend_p") & (rows["status"] == "ok") & rows["value"].notna()]
    rejected = pd.Series(holm(tests["value"].to_numpy()) <= ALPHA, index=tests.index)
    cut = tests[tests["group"] == "cut"]
    found = measured(rows, DRAWS, "scale", "cut").drop(columns="status").add_prefix("scale_")
    found = found.rename(columns={"scale_value": "scale"})
    found["bent"] = cut.assign(bent=rejected).groupby(CELL)["bent"].max().reindex(found.index).astype(object)
    points = rows[rows["metric"] == "scale_of_point"].groupby([*CELL, "step"])["value"].mean().groupby(CELL)
    return found.assign(least=points.min().reindex(found.index), most=points.max().reindex(found.index))
