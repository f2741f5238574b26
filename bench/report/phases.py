"""Figure: where the time of a training step goes."""

from __future__ import annotations

import math

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .rows import CELL, SETTING, failures, is_training, measured, setting_label
from .style import GREY, figure_with_legend, set_title, side_by_side, whiskers, width

COLOURS = {  # of "Paired": forward light, backward dark
    "encode": 0,
    "sample": 3,
    "objective": 6,
    "gradient": 9,
    "objective_backward": 7,
    "encoder_backward": 1,
    "update": 11,
    "graph": 5,
}
_COLUMNS = 3
_LINE = 0.19
_CUT = 5.0


def draw(rows: pd.DataFrame) -> Figure | str:
    """One panel a training task, one bar an estimator: medians of the phases end to end, and of the whole step.

    Bars beyond _CUT times the median step are cut, with their length written at the edge.
    """
    rows = rows[is_training(rows)]
    phases = pd.DataFrame({phase: measured(rows, "clock", f"time_{phase}")["value"] for phase in COLOURS}) / 1000
    if phases.empty:
        return "no training step was timed by phases"
    total = measured(rows, "clock", "time_total")[["value", "lo", "hi"]].reindex(phases.index) / 1000
    order = phases.sum(axis=1).groupby("estimator").mean().sort_values(kind="stable").index
    palette = sns.color_palette("Paired")
    colours = {phase: palette[i] for phase, i in COLOURS.items()}
    seen = phases.columns[phases.notna().any()]
    handles = [Patch(color=colours[phase], label=phase.replace("_", " ")) for phase in seen]
    tick = Line2D([], [], ls="", marker="|", color="black", ms=7, mew=1.2, label="whole step, with 95 % interval")
    failed = failures(rows).groupby(CELL)["status"].first()
    settings = list(phases.groupby(SETTING))
    columns = side_by_side(len(settings), _COLUMNS)
    lines = math.ceil(len(settings) / columns)
    figure = figure_with_legend(lines * (_LINE * len(order) + 0.65), [*handles, tick])
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, (setting, part) in zip(panels, settings, strict=False):
        set_title(axes, setting_label(setting, rows["device"].nunique()), (width() - 1) / columns)
        axes.set_xlabel("ms per step")
        axes.grid(False, axis="y")
        _bars(axes, part.droplevel(SETTING), total.loc[part.index].droplevel(SETTING), list(order), colours)
        for name in order.difference(part.index.get_level_values("estimator")):
            axes.text(0, order.get_loc(name), "  " + failed.get((*setting, name), ""), va="center",
                      color=GREY, fontsize="small", style="italic")  # fmt: skip
    panels[0].set_yticks(range(len(order)), order)
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
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
