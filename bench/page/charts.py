"""The charts of the page as plain numbers; charts.js draws them and chooses the colours and names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..ranking import correlation
from ..report.figures.phases import COLOURS
from ..report.placing import trained_of
from ..report.rows import CELL, SETTING, curve, is_training, measured, setting_label, trainings
from ..report.study import Study
from ..sources import CLOCK
from .plane import plane

View = dict[str, Any]
PHASES = tuple(COLOURS)


@dataclass(frozen=True)
class Chart:
    """views: each with run, setting, against and its numbers; or a phrase that states what is missing."""

    name: str
    title: str
    note: str
    views: list[View] | str


def finishes(rows: pd.DataFrame) -> list[View]:
    """points: [estimator, test ELBO, lo, hi], best first, as the ranking of the trainings has them."""
    views, devices = [], rows.loc[is_training(rows), "device"].nunique()
    for setting, trained in trained_of(rows).items():
        points = [[x.estimator, x.elbo.value, x.elbo.lo, x.elbo.hi] for x in trained.finishes if x.group]
        if points:
            views.append({"setting": setting_label(setting, devices), "x": f"test ELBO after {trained.at} (nats)",
                          "against": "", "points": points})  # fmt: skip
    return views


def predictions(rows: pd.DataFrame) -> list[str]:
    """For every training task, a sentence on whether a metric of the gradient predicts what its trainings reached."""
    steps = sorted({int(step) for step in rows.loc[is_training(rows), "step"].dropna()})
    found = correlation.correlations(rows, steps, floors=(math.inf,))
    return correlation.sentences(found[found["steps"] == found.groupby(correlation.SETTING)["steps"].transform("max")])


def curves(metric: str, label: str, **axes: Any) -> Callable[[pd.DataFrame], list[View]]:
    """curves: [estimator, x, y] of a metric along training, against steps, seconds and evaluations of f."""

    def views(rows: pd.DataFrame) -> list[View]:
        found = curve(rows, metric)
        if found.empty:
            return []
        trained = rows[is_training(rows) & (rows["metric"] == "evaluations")]
        per_step = trained.groupby(CELL)["value"].mean().rename("per_step")
        seconds = curve(rows, "seconds")["value"].rename("seconds")
        found = found.join(seconds).join(per_step, on=CELL).reset_index()
        found["evaluations"] = found["step"] * found["per_step"]
        devices, views = rows["device"].nunique(), []
        for setting, part in found.groupby(SETTING):
            for against, x in (("step", "step"), ("seconds", "seconds of training"), ("evaluations", "evaluations")):
                lines: Any = part[part[against].notna()].groupby("estimator")
                drawn = [[str(name), line[against].tolist(), line["value"].tolist()] for name, line in lines]
                if drawn:
                    views.append({"setting": setting_label(setting, devices), "against": x, "x": x, "y": label,
                                  "curves": drawn, **axes})  # fmt: skip
        return views

    return views


def phases(rows: pd.DataFrame) -> list[View]:
    """bars: [estimator, ms of a step, the share of each of PHASES], the fastest first."""
    rows = trainings(rows)
    if rows.empty:
        return []
    table = pd.DataFrame({phase: measured(rows, CLOCK, f"time_{phase}")["value"] for phase in PHASES}) / 1000
    devices, views = rows["device"].nunique(), []
    for setting, part in table.groupby(SETTING):
        part = part.droplevel(SETTING).fillna(0.0)
        lines = sorted((sum(times), str(name), times) for name, *times in part.itertuples(name=None))
        bars = [[name, ms, [time / ms for time in times]] for ms, name, times in lines if ms > 0]
        if bars:
            views.append({"setting": setting_label(setting, devices), "against": "", "x": "share of the step",
                          "bars": bars, "phases": [phase.replace("_", " ") for phase in PHASES]})  # fmt: skip
    return views


def charts(studies: Sequence[Study]) -> list[Chart]:
    """Every chart of the page, in its order."""

    def chart(name: str, title: str, note: str, one: Callable[[pd.DataFrame], list[View]], missing: str) -> Chart:
        views = [{"run": study.label} | view for study in studies if len(study.rows) for view in one(study.rows)]
        return Chart(name, title, note, views or missing)

    return [
        chart("plane", "Variance against cost and bias", "Hollow: biased, shown or claimed. Line: the front, unbiased "
              "estimators that no other beats in both.", plane, "no task has a variance and a cost"),
        chart("finishes", "What trainings reached", "Best first, with 95 % intervals over seeds, or over test images "
              "where there is one seed.", finishes, "no task was trained"),
        chart("elbo", "Training by family", "Each panel: one family in its colour before all others in grey.",
              curves("elbo_test", "test ELBO (nats)"), "no task was trained"),
        chart("variance", "Variance along training", "Of the encoder's gradient, at each evaluation of a training.",
              curves("var_encoder", "variance", log_y=True), "no training run has a variance"),
        chart("phases", "Where a training step spends its time", "Shares of the median times of its phases; the whole "
              "step in ms stands at the end.", phases, "no training step was timed by phases"),
    ]  # fmt: skip
