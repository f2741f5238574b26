"""Figure: where the time of a training step goes."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...sources import CLOCK
from ..rows import CELL, SETTING, failures, is_training, measured
from .panels import panels_by_estimator
from .style import GREY, whiskers

COLOURS = {  # indices into "Paired": forward light, backward dark
    "encode": 0,
    "sample": 3,
    "objective": 6,
    "gradient": 9,
    "objective_backward": 7,
    "encoder_backward": 1,
    "update": 11,
    "graph": 5,
}
_CUT = 5.0


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per training task, one bar per estimator: the median times of the phases end to end, and of the step.

    Bars longer than _CUT times the median step are cut off, with their length written at the edge. An estimator that
    failed shows its status.
    """
    rows = rows[is_training(rows)]
    phases = pd.DataFrame({phase: measured(rows, CLOCK, f"time_{phase}")["value"] for phase in COLOURS}) / 1000
    if phases.empty:
        return "no training step was timed by phases"
    total = measured(rows, CLOCK, "time_total")[["value", "lo", "hi"]].reindex(phases.index) / 1000
    order = phases.sum(axis=1).groupby("estimator").mean().sort_values(kind="stable").index
    palette = sns.color_palette("Paired")
    colours = {phase: palette[i] for phase, i in COLOURS.items()}
    seen = phases.columns[phases.notna().any()]
    handles = [Patch(color=colours[phase], label=phase.replace("_", " ")) for phase in seen]
    tick = Line2D([], [], ls="", marker="|", color="black", ms=7, mew=1.2, label="whole step, with 95 % interval")
    failed = failures(rows).groupby(CELL)["status"].first()
    failed = failed[~failed.isin(["unsupported"])]
    lost = {setting: part.droplevel(SETTING).to_dict() for setting, part in failed.groupby(SETTING)}
    parts = {setting: part.droplevel(SETTING) for setting, part in phases.groupby(SETTING)}
    totals = {setting: part.droplevel(SETTING) for setting, part in total.groupby(SETTING)}
    names = {
        setting: [str(name) for name in order if name in part.index or name in lost.get(setting, {})]
        for setting, part in parts.items()
    }
    figure, panels = panels_by_estimator(names, [*handles, tick], rows["device"].nunique(), "ms per step")
    for setting, part in parts.items():
        axes = panels[setting]
        _bars(axes, part, totals[setting], names[setting], colours)
        for y, name in enumerate(names[setting]):
            if name not in part.index:
                axes.text(0, y, f"  {lost[setting][name]}", va="center",
                          color=GREY, fontsize="small", style="italic")  # fmt: skip
    return figure


def _bars(axes: Axes, phases: pd.DataFrame, total: pd.DataFrame, order: list[str], colours: dict[str, tuple]) -> None:
    y = [order.index(name) for name in phases.index]
    ends = phases.fillna(0).cumsum(axis=1)
    for phase, colour in colours.items():
        length = phases[phase].fillna(0)
        axes.barh(y, length, left=ends[phase] - length, height=0.7, color=colour, edgecolor="white", lw=0.3)
    error = whiskers(total["value"], total["lo"], total["hi"])
    axes.errorbar(total["value"], y, xerr=error, fmt="|", color="black", ms=7, mew=1.2, elinewidth=0.8)
    most = _CUT * float(total["value"].median())
    if float(total["value"].max()) > most:
        axes.set_xlim(0, most)
        for place, value in zip(y, total["value"], strict=True):
            if value > most:
                axes.text(most, place, f"{value:.0f} ▸ ", ha="right", va="center", fontsize="small",
                          bbox={"color": "white", "pad": 0.5})  # fmt: skip
