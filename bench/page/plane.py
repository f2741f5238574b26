"""Chart: the plane of variance and cost or bias, with the Pareto front of the unbiased estimators."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from ..report.rows import CELL, SETTING, final, logits_variance, measured, setting_label, toys, trainings
from ..report.verdicts import BIASED, verdicts
from ..sources import CLOCK, DRAWS


def plane(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """points: [estimator, x, variance, lo, hi, biased]; front: the names on the front, by x.

    Toys: the logits gradient's variance against evaluations, time and bias; training: the encoder's against time.
    """
    own, models = toys(rows), trainings(rows)
    variance = pd.concat([logits_variance(own), final(models, "var_encoder")])
    costs = {
        "time (µs)": measured(rows, CLOCK, "time_total")["value"],
        "evaluations of f": measured(own, DRAWS, "evaluations")["value"],
        "relative bias": measured(own, DRAWS, "bias_rel", "cut")["value"],
    }
    found = verdicts(rows).reset_index()
    found = found[(found["verdict"] == BIASED) & (found["group"] == "cut")]
    claims = rows[rows["metric"].eq("claims_unbiased") & rows["group"].eq("cut") & rows["value"].eq(0)]
    biased = {cell for each in (found, claims) for cell in each[CELL].itertuples(index=False, name=None)}
    devices = rows["device"].nunique()
    views = []
    for setting, part in variance[variance["value"] > 0].groupby(SETTING):
        for x, cost in costs.items():
            drawn = part.join(cost.rename("cost"), how="inner")
            drawn = drawn[drawn["cost"] > 0].sort_index()
            if drawn.empty:
                continue
            numbers = drawn[["cost", "value", "lo", "hi"]].astype(float).itertuples(index=False, name=None)
            points = [[str(cell[-1]), *row, cell in biased] for cell, row in zip(drawn.index, numbers, strict=True)]
            front = [] if x == "relative bias" else pareto((p[1], p[2], p[0]) for p in points if not p[-1])
            views.append({"setting": setting_label(setting, devices), "against": x, "x": x, "y": "variance",
                          "points": points, "front": front, "log_x": True, "log_y": True})  # fmt: skip
    return views


def pareto(points: Iterable[tuple[float, float, str]]) -> list[str]:
    """The names of the points (cost, variance, name) that no other beats in both, sorted by cost."""
    front: list[str] = []
    least = math.inf
    for _, variance, name in sorted(points):
        if variance < least:
            front.append(name)
            least = variance
    return front
