"""Figure: whether an accelerator waited for Python on the host."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ...sources import CLOCK
from ..rows import SETTING, measured
from ..view import View
from .panels import panels_by_estimator
from .style import GREY, marker, whiskers

_ENDS = {"time_enqueue": ("o", "until everything was enqueued"), "time_host": ("|", "until everything was done")}
_BOUND = {0.0: "white", 1.0: "black"}  # the face of a marker, by the metric host_bound


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per task: the host's two times per repetition; where they nearly meet, the host is the bottleneck."""
    times = {metric: measured(rows, CLOCK, metric) for metric in _ENDS}
    bound = measured(rows, CLOCK, "host_bound")["value"]
    if bound.empty:
        return "nothing was timed on an accelerator (metrics time_enqueue, time_host)"
    order = times["time_host"]["value"].groupby("estimator").mean().sort_values(kind="stable").index
    handles = [
        *(marker(label, symbol) for symbol, label in _ENDS.values()),
        marker("bound by the host", mfc=_BOUND[1.0]),
        marker("bound by the device", mfc=_BOUND[0.0]),
    ]
    parts: dict[Any, pd.Series] = {setting: part.droplevel(SETTING) for setting, part in bound.groupby(SETTING)}
    orders = {setting: [str(name) for name in order if name in part.index] for setting, part in parts.items()}
    figure, panels = panels_by_estimator(orders, view, handles, "µs")
    for setting, panel in panels.items():
        axes = panel.axes
        for y, name in enumerate(panel.names):
            face = _BOUND[1.0 if parts[setting][name] >= 0.5 else 0.0]
            ends = {metric: times[metric].loc[setting].loc[name] for metric in _ENDS}
            axes.plot([line["value"] for line in ends.values()], [y, y], color=GREY, lw=0.8, zorder=1)
            for metric, line in ends.items():
                error = whiskers(*(pd.Series([line[end]]) for end in ("value", "lo", "hi")))
                axes.errorbar(
                    line["value"], y, xerr=error, fmt=_ENDS[metric][0], color="black", mfc=face, elinewidth=0.8
                )
        axes.set_xlim(left=0)
    return figure
