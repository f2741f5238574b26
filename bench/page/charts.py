"""The charts of the page: each a list of views, chosen by two drop-downs; views of several runs stand side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..report.figures.phases import COLOURS
from ..report.figures.style import looks
from ..report.rows import CELL, SETTING, curve, is_training, measured, setting_label
from ..report.study import Study
from ..sources import CLOCK
from .plane import plane
from .traces import Draw, Looks, View, points_of, text, trace, view, views_of


@dataclass(frozen=True)
class Chart:
    """views: each with run, setting, against, traces and axes; or a phrase that states what is missing."""

    name: str
    title: str
    note: str
    views: list[View] | str


def training_curves(rows: pd.DataFrame, look: Looks, metric: str, y: str, **axes: Any) -> list[View]:
    """A metric along training against steps, seconds of training and evaluations of f."""
    curves = curve(rows, metric)
    if curves.empty:
        return []
    trained = rows[is_training(rows) & (rows["metric"] == "evaluations")]
    per_step = trained.groupby(CELL)["value"].mean().rename("per_step")
    curves = curves.join(curve(rows, "seconds")["value"].rename("seconds")).join(per_step, on=CELL).reset_index()
    curves["evaluations"] = curves["step"] * curves["per_step"]
    devices = rows["device"].nunique()
    found = []
    for setting, part in curves.groupby(SETTING):
        for against, label in (("step", "step"), ("seconds", "seconds of training"), ("evaluations", "evaluations")):
            timed = part[part[against].notna()]
            traces = [
                trace(str(name), look[str(name)], points_of(line, against), mode="lines+markers")
                for name, line in timed.groupby("estimator")
            ]
            if traces:
                found.append(view(setting_label(setting, devices), label, label, y, traces, **axes))
    return found


def phases(rows: pd.DataFrame, look: Looks) -> list[View]:
    """Bars of the median time of each phase of a training step, end to end."""
    rows = rows[is_training(rows)]
    if rows.empty:
        return []
    times = pd.DataFrame({phase: measured(rows, CLOCK, f"time_{phase}")["value"] for phase in COLOURS}) / 1000
    if times.empty:
        return []
    import seaborn as sns

    palette, devices = sns.color_palette("Paired").as_hex(), rows["device"].nunique()
    found = []
    for setting, part in times.groupby(SETTING):
        part = part.droplevel(SETTING)
        part = part.loc[part.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        names = [text(name) for name in part.index]
        traces = [
            {"type": "bar", "orientation": "h", "name": phase.replace("_", " "), "y": names,
             "x": part[phase].fillna(0).tolist(), "marker": {"color": palette[COLOURS[phase]]},
             "hovertemplate": "%{y}: %{x:.3g} ms"}
            for phase in COLOURS
        ]  # fmt: skip
        found.append(view(setting_label(setting, devices), "", "ms per step", "", traces, lines=len(names)))
    return found


def charts(studies: list[Study]) -> list[Chart]:
    """Every chart of the page, in its order."""

    look = looks(pd.concat([study.rows for study in studies]))

    def elbo(rows: pd.DataFrame, look: Looks) -> list[View]:
        return training_curves(rows, look, "elbo_test", "test ELBO (nats)")

    def variance(rows: pd.DataFrame, look: Looks) -> list[View]:
        return training_curves(rows, look, "var_encoder", "variance (encoder)", log_y=True)

    def chart(name: str, title: str, note: str, one: Draw, why: str) -> Chart:
        return Chart(name, title, note, views_of(studies, one, look) or why)

    front = "no unbiased estimator has both less variance and less cost"
    return [
        chart("plane", "Bias, variance and cost", f"Hollow: biased. Rings and line: the Pareto front; {front}.", plane,
              "no task has a variance and a cost"),
        chart("variance", "Variance along training", "Of the encoder's gradient, at each evaluation of a training run.",
              variance, "no training run has a variance"),
        chart("elbo", "ELBO along training", "Bars: the interval over test images, or the range of several seeds.",
              elbo, "no task was trained"),
        chart("phases", "Phases of a training step", "Median times, end to end.", phases,
              "no training step was timed by phases"),
    ]  # fmt: skip


def data(found: Iterable[Chart]) -> Mapping[str, Any]:
    """name -> views, for JSON: None in place of numbers that are not finite, which browsers cannot parse."""
    return {chart.name: _finite(chart.views) for chart in found if not isinstance(chart.views, str)}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
