"""Chart: the plane of bias, variance and cost, with the Pareto front of the unbiased estimators."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from ..report.rows import CELL, SETTING, final, is_training, logits_variance, measured, setting_label
from ..report.verdicts import BIASED, verdicts
from ..sources import CLOCK, DRAWS
from .traces import Looks, View, points_of, trace, view


def plane(rows: pd.DataFrame, look: Looks) -> list[View]:
    """Toys: the logits gradient's variance against evaluations, time and bias; training: the encoder's against time."""
    trained = is_training(rows)
    toys, models = rows[~trained], rows[trained]
    variance = pd.concat([logits_variance(toys), final(models, "var_encoder")])
    costs = {
        "evaluations of f": measured(toys, DRAWS, "evaluations")["value"],
        "time (µs)": measured(rows, CLOCK, "time_total")["value"],
        "relative bias": measured(toys, DRAWS, "bias_rel", "cut")["value"],
    }
    found = verdicts(rows).reset_index()
    found = found[(found["verdict"] == BIASED) & (found["group"] == "cut")]
    biased = set(found[CELL].itertuples(index=False, name=None))
    devices = rows["device"].nunique()
    views = []
    for setting, part in variance[variance["value"] > 0].groupby(SETTING):
        for name, cost in costs.items():
            points = part.join(cost.rename("cost"), how="inner")
            points = points[points["cost"] > 0].sort_index()
            if points.empty:
                continue
            traces, unbiased = [], []
            for cell, point in zip(points.index, points_of(points, "cost"), strict=True):
                hollow = cell in biased
                drawn = trace(str(cell[-1]), look[str(cell[-1])], [point], mode="markers")
                drawn["marker"]["symbol"] += "-open" if hollow else ""
                traces.append(drawn)
                unbiased += [] if hollow else [point[:2]]
            if name != "relative bias":
                traces.insert(0, _line(pareto(unbiased)))
            views.append(view(setting_label(setting, devices), name, name, "variance", traces, log_x=True, log_y=True))
    return views


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, variance) that no other point beats in both, sorted by cost."""
    front: list[tuple[float, float]] = []
    least = math.inf
    for cost, variance in sorted(points):
        if variance < least:
            front.append((cost, variance))
            least = variance
    return front


def _line(front: list[tuple[float, float]]) -> View:
    return {
        "type": "scatter", "mode": "lines+markers", "name": "Pareto front", "hoverinfo": "skip",
        "x": [cost for cost, _ in front], "y": [variance for _, variance in front],
        "marker": {"symbol": "circle-open", "size": 17, "color": "#888888"},
        "line": {"color": "#888888", "dash": "dot", "shape": "hv"},
    }  # fmt: skip
