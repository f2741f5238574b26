"""Figure: whether an accelerator waited for Python on the host."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...sources import CLOCK
from ..rows import SETTING, measured
from .panels import panels_by_estimator
from .style import GREY, whiskers

_ENDS = {"time_enqueue": ("o", "until everything was enqueued"), "time_host": ("|", "until everything was done")}
_COLOURS = {0.0: "#0173b2", 1.0: "#d55e00"}  # of "colorblind", by the metric host_bound


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per task: the host's two times per repetition; where they nearly meet, the host is the bottleneck."""
    times = {metric: measured(rows, CLOCK, metric) for metric in _ENDS}
    bound = measured(rows, CLOCK, "host_bound")["value"]
    if bound.empty:
        return "nothing was timed on an accelerator (metrics time_enqueue, time_host)"
    order = times["time_host"]["value"].groupby("estimator").mean().sort_values(kind="stable").index
    handles = [
        *(Line2D([], [], ls="", marker=marker, color=GREY, label=label) for marker, label in _ENDS.values()),
        Line2D([], [], color=_COLOURS[1.0], label="bound by the host"),
        Line2D([], [], color=_COLOURS[0.0], label="bound by the device"),
    ]
    parts: dict[Any, pd.Series] = {setting: part.droplevel(SETTING) for setting, part in bound.groupby(SETTING)}
    names = {setting: [str(name) for name in order if name in part.index] for setting, part in parts.items()}
    figure, panels = panels_by_estimator(names, handles, rows["device"].nunique(), "µs")
    for setting, part in parts.items():
        axes = panels[setting]
        for name, waited in part.items():
            y, colour = names[setting].index(str(name)), _COLOURS[1.0 if waited >= 0.5 else 0.0]
            ends = {metric: times[metric].loc[setting].loc[name] for metric in _ENDS}
            axes.plot([line["value"] for line in ends.values()], [y, y], color=colour, lw=1)
            for metric, line in ends.items():
                error = whiskers(*(pd.Series([line[end]]) for end in ("value", "lo", "hi")))
                axes.errorbar(line["value"], y, xerr=error, fmt=_ENDS[metric][0], color=colour, elinewidth=0.8)
        axes.set_xlim(left=0)
    return figure
