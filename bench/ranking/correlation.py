"""Does a metric of the gradient predict the training? Its rank correlation with the test ELBO, from stored rows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..rows import Quantity
from ..sources import STEPS
from ..statistics.intervals import mean
from ..statistics.seeds import seed_floor
from .trained import ELBO

METRICS = ("var_cut", "var_encoder", "bias_reference")
STEPS_SHOWN, FLOORS = (100, 500, 5000), (math.inf, 5.0)
FEWEST = 4
REFERENCE = Path(__file__).with_name("correlations.csv")
SETTING = ["task", "data", "device"]
COLUMNS = [*SETTING, "steps", "floors", "metric", "rho", "lo", "hi", "seeds", "estimators"]


def correlations(
    rows: pd.DataFrame,
    steps: Sequence[int] = STEPS_SHOWN,
    metrics: Sequence[str] = METRICS,
    floors: Sequence[float] = FLOORS,
) -> pd.DataFrame:
    """[task, data, device, steps, floors, metric] -> Spearman's rho of the test ELBO with the metric over estimators.

    rho is the mean over seeds of each seed's own, with Student's interval over seeds, within [-1, 1]; no interval with
    one seed. floors: infinite for all estimators; 5 for those whose ELBO is within five standard deviations over seeds
    (`seed_floor`) of the best one's, among which rho does not merely say that what hardly trains has a large variance.
    With one seed there is no such floor. estimators: the fewest with both numbers at one of the seeds. Both must have
    been measured at the step itself; no line with fewer than four estimators. rows: as a run stored them.
    """
    known = rows[rows["metric"].isin((ELBO, *metrics)) & (rows["source"] == STEPS.name) & (rows["group"] == "")]
    known = known[np.isfinite(known["value"])]
    found = []
    for setting, part in known.groupby(SETTING, sort=True):
        for step in steps:
            there = part[part["step"] == step].pivot_table(
                index=["estimator", "seed"], columns="metric", values="value"
            )
            if ELBO not in there:
                continue
            elbo = there[ELBO].unstack("seed")
            for width in floors:
                near = _within(elbo, width)
                for metric in (metric for metric in metrics if metric in there):
                    rho, seeds, count = rank_correlation(near, there[metric].unstack("seed"))
                    if seeds:
                        found.append((*setting, step, width, metric, rho.value, rho.lo, rho.hi, seeds, count))
    return pd.DataFrame(found, columns=COLUMNS)


def rank_correlation(elbo: pd.DataFrame, metric: pd.DataFrame) -> tuple[Quantity, int, int]:
    """Spearman's rho of two tables [estimator, seed], the number of seeds, and the least number of estimators."""
    values, counts = [], []
    for seed in elbo.columns.intersection(metric.columns):
        both = pd.concat([elbo[seed], metric[seed]], axis=1).dropna().to_numpy()
        if len(both) >= FEWEST and (np.ptp(both, axis=0) > 0).all():
            values.append(float(stats.spearmanr(both[:, 0], both[:, 1]).statistic))
            counts.append(len(both))
    if not values:
        return Quantity(math.nan), 0, 0
    rho = mean(np.array(values))  # without an interval for one seed
    return replace(rho, lo=max(-1.0, rho.lo), hi=min(1.0, rho.hi)) if len(values) > 1 else rho, len(values), min(counts)


def _within(elbo: pd.DataFrame, floors: float) -> pd.DataFrame:
    """The estimators whose mean ELBO is within so many standard deviations over seeds of the best one's; none where
    these are not known.
    """
    if math.isinf(floors):
        return elbo
    means, floor = elbo.mean(axis=1), seed_floor(elbo.to_numpy(dtype=float))
    return elbo[means >= means.max() - floors * floor]


def table(found: pd.DataFrame) -> str:
    """The result as a small Markdown table: one line per task, steps and floors, one column per metric."""
    metrics = list(dict.fromkeys(found["metric"]))
    lines = ["| task | steps | estimators | seeds | " + " | ".join(f"`{metric}`" for metric in metrics) + " |"]
    lines.append("|:--|--:|:--|--:|" + ":--|" * len(metrics))
    groups: Any = found.groupby(["task", "steps", "floors"], sort=False)
    for (task, steps, floors), part in groups:
        cells = {line["metric"]: _cell(line) for line in part.to_dict("records")}
        among = "all" if math.isinf(floors) else f"within {floors:g} sd of the best"
        shown = [f"`{task}`", str(steps), f"{part['estimators'].max()}, {among}", str(part["seeds"].max())]
        lines.append("| " + " | ".join(shown + [cells.get(metric, "–") for metric in metrics]) + " |")
    return "\n".join(lines)


def sentences(found: pd.DataFrame) -> list[str]:
    """Does a metric of the gradient predict the trainings? For every task and step, the rank correlations in words."""
    among_all = found[np.isinf(found["floors"].astype(float))]
    groups: Any = among_all.groupby([*SETTING, "steps"], sort=False)
    return [_sentence(task, steps, part.to_dict("records")) for (task, _, _, steps), part in groups]


def reference() -> pd.DataFrame:
    """`correlations` of the package's own trainings, which scripts/trainings.py makes."""
    return pd.read_csv(REFERENCE)


def _sentence(task: str, steps: int, lines: Sequence[Mapping[Hashable, Any]]) -> str:
    seeds, shown = lines[0]["seeds"], ", ".join(f"{line['metric']} {_cell(line)}" for line in lines)
    return (
        f"{task} after {steps} steps, {lines[0]['estimators']} estimators, {seeds} seed{'s' * (seeds > 1)}: the rank "
        f"correlation of the test ELBO with {shown}."
    )


def _cell(line: Mapping[Hashable, Any]) -> str:
    value = f"{line['rho']:+.2f}"
    return value if math.isnan(line["lo"]) else f"{value} [{line['lo']:+.2f}, {line['hi']:+.2f}]"
