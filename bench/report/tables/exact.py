"""The table of exact moments: bias, constant and variance of a gradient draw, from enumeration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...sources import ENUMERATION
from ..constants import BENT
from ..numbers import plain
from ..rows import CELL
from .table import Table, informative

METRICS = {"bias_exact": "bias", "scale_exact": "scale", "bend_exact": "bend", "var_exact": "variance"}
_CAPTION = (
    "Exact moments of one draw of the logits gradient, with all z enumerated; what else an estimator draws is averaged "
    "over. Relative bias: norm of the bias over norm of the exact gradient; 0 where rounding alone is left. Up to a "
    "constant: the c of E g = c times the gradient, or *bent* by the part across the gradient over the part along it, "
    "with the range of the c of single data points. Variance: trace of the covariance; over c², at equal length of the "
    "mean along the gradient."
)


def exact_table(rows: pd.DataFrame) -> Table:
    """One line per task and estimator, by task, then by bias; the mean over seeds."""
    found = rows[(rows["source"] == ENUMERATION.name) & rows["metric"].isin(METRICS)]
    numbers = found.pivot_table(index=CELL, columns="metric", values="value").rename(columns=METRICS)
    numbers = numbers.reindex(columns=list(METRICS.values()))
    points = rows[rows["metric"] == "scale_of_point_exact"].groupby([*CELL, "step"])["value"].mean().groupby(CELL)
    # The bound of a sum of n terms; the numbers are in float64.
    rounding = found.groupby(CELL)["n"].max() * np.finfo(np.float64).eps
    numbers = numbers.assign(
        least=points.min().reindex(numbers.index),
        most=points.max().reindex(numbers.index),
        rounding=rounding.reindex(numbers.index).astype(float),
    )
    numbers = numbers.reset_index().sort_values(["task", "data", "device", "bias", "estimator"], ignore_index=True)
    lines = numbers.to_dict("records")
    text = pd.DataFrame(
        {
            **{key: numbers[key] for key in CELL},
            "relative bias": ["0" if line["bias"] <= line["rounding"] else plain(line["bias"]) for line in lines],
            "up to a constant": [constant(line) for line in lines],
            "variance": numbers["variance"].map(plain),
            "variance / c²": (numbers["variance"] / numbers["scale"] ** 2).map(plain),
        },
        dtype=object,
    )
    return Table("exact", _CAPTION, numbers, informative(text), key=("estimator", "relative bias", "variance"))


def constant(line: Mapping[Any, Any]) -> str:
    """The c of E g = c ∇, or how far the mean is bent, with the range over data points where there are several."""
    if line["bend"] <= line["rounding"]:
        return plain(round(line["scale"], 9))
    spread = "" if pd.isna(line["least"]) else f", {plain(line['least'])} to {plain(line['most'])}"
    return f"{BENT} {plain(line['bend'])}{spread}"
