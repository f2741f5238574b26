"""The choice among the trials of a line: a pure function of the rows of the selection seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..sources import STEPS
from .protocol import Protocol
from .scale import Scale, Trial, trials

COLUMNS = ["estimator", "task", "seed", "value", "runs", "lo", "hi", "score", "step", "data", "status"]
Line = tuple[str, str]
"""The names of a method and a setting."""


def chosen(rows: pd.DataFrame, protocol: Protocol, scale: Scale) -> dict[Line, Trial]:
    """The best trial of each line, by the rows of the selection seeds; rows of other seeds are ignored."""
    return best(scored(rows, protocol, scale), protocol, scale)


def best(scores: dict[Line, list[float]], protocol: Protocol, scale: Scale) -> dict[Line, Trial]:
    """The trial of each line with the best mean score over the selection seeds. scores: from `scored`.

    A diverged seed scores -inf. A trial that lacks a score (unsupported, failed) is not chosen, and a line of only such
    trials is left out. A line of one trial needs no rows.
    """
    found = {}
    for method, setting in protocol.lines():
        candidates, means = trials(protocol, method, setting, scale), scores[method.method, setting]
        first = max(range(len(candidates)), key=lambda k: (not np.isnan(means[k]), means[k]))
        if len(candidates) == 1 or not np.isnan(means[first]):
            found[method.method, setting] = candidates[first]
    return found


def scored(rows: pd.DataFrame, protocol: Protocol, scale: Scale) -> dict[Line, list[float]]:
    """The mean score of each trial of each line over the selection seeds; -inf if one diverged, NaN if one lacks it."""
    ends = outcomes(rows, protocol, protocol.selection_metric)
    scores = ends.set_index(["estimator", "task", "seed"])["score"]
    return {
        (method.method, setting): [
            _mean_score(scores, trial, protocol.selection_seeds) for trial in trials(protocol, method, setting, scale)
        ]
        for method, setting in protocol.lines()
    }


def outcomes(rows: pd.DataFrame, protocol: Protocol, metric: str, step: int | None = None) -> pd.DataFrame:
    """How each cell ended, with columns estimator, task, seed, value, runs, lo, hi, score, step, data and status.

    value: the metric at this step or, without one, at the last step or its best along training, as the protocol
    reports; NaN if there is none or, at that step, no finite one. runs: the values of the runs in the cell, of one
    training just the value. lo, hi: the row's own interval. score: the value with higher values better; -inf when the
    training diverged.
    """
    of_source = rows[rows["source"] == protocol.source]
    ends = []
    for (estimator, task, seed), cell in of_source.groupby(["estimator", "task", "seed"]):
        failed = cell[(cell["metric"] == "") & (cell["status"] != "ok")]
        considered = np.isfinite(cell["value"]) | (protocol.report == "last")
        curve = cell[(cell["metric"] == metric) & considered].sort_values("step")
        if step is not None:
            curve = curve[curve["step"] == step]
        sign = -1.0 if (curve["direction"] == "lower").any() else 1.0
        status = failed["status"].iloc[0] if len(failed) else "ok"
        value = score = lo = hi = float("nan")
        runs: list[float] = []
        if len(curve) and status == "ok":
            at = curve.iloc[-1] if protocol.report == "last" else curve.loc[(sign * curve["value"]).idxmax()]
            if np.isfinite(at["value"]):
                value, lo, hi = at["value"], at["lo"], at["hi"]
                runs = [value] if protocol.source == STEPS.name else list(at["blocks"])
                score = sign * value
        ends.append(
            {
                "estimator": estimator,
                "task": task,
                "seed": seed,
                "value": value,
                "runs": runs,
                "lo": lo,
                "hi": hi,
                "score": -np.inf if status == "diverged" else score,
                "step": int(cell["step"].max()),
                "data": cell["data"].iloc[0],
                "status": status,
            }
        )
    return pd.DataFrame(ends, columns=COLUMNS)


def _mean_score(scores: pd.Series, trial: Trial, seeds: tuple[int, ...]) -> float:
    estimator, task = map(str, trial)
    return float(np.mean([scores.get((estimator, task, seed), float("nan")) for seed in seeds])) if seeds else np.nan
