"""Figure: where the time of a training step goes, as shares of the step."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...sources import CLOCK
from ..numbers import plain
from ..rows import CELL, SETTING, failures, measured, trainings
from ..view import View
from .panels import panels_by_estimator
from .style import GREY, note, small

COLOURS = {  # indices into "Paired": forward light, backward dark
    "negative": 2,
    "encode": 0,
    "sample": 3,
    "objective": 6,
    "gradient": 9,
    "objective_backward": 7,
    "encoder_backward": 1,
    "sleep": 2,
    "update": 11,
    "graph": 5,
}
"""The phases of a step, in their order."""


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per training task, one bar per estimator, fastest first: the phases' shares of their sum, in shades of
    grey because colours stand for families, and the median time of the step as text.

    An estimator that failed shows its status.
    """
    rows = trainings(rows)
    phases = pd.DataFrame({phase: measured(rows, CLOCK, f"time_{phase}")["value"] for phase in COLOURS}) / 1000
    if phases.empty:
        return "no training step was timed by phases"
    total = measured(rows, CLOCK, "time_total")["value"].reindex(phases.index).fillna(phases.sum(axis=1) * 1000) / 1000
    seen = list(phases.columns[phases.notna().any()])
    greys = dict(
        zip(
            seen,
            mpl.colormaps["bone_r"]([0.08 + 0.62 * i / max(len(seen) - 1, 1) for i in range(len(seen))]),
            strict=True,
        )
    )
    handles = [Patch(fc=greys[phase], ec=GREY, lw=0.4, label=phase.replace("_", " ")) for phase in seen]
    failed = failures(rows).groupby(CELL)["status"].first()
    lost = {setting: part.droplevel(SETTING).to_dict() for setting, part in failed.groupby(SETTING)}
    totals = {setting: part.droplevel(SETTING).sort_values(kind="stable") for setting, part in total.groupby(SETTING)}
    orders = {
        s: [*part.index, *(name for name in lost.get(s, {}) if name not in part.index)] for s, part in totals.items()
    }
    figure, panels = panels_by_estimator(orders, view, [*handles, note("right: ms per step")], "share of the step (%)")
    for setting, panel in panels.items():
        shares = phases.loc[setting].fillna(0)
        shares = 100 * shares.div(shares.sum(axis=1), axis=0)
        for y, name in enumerate(panel.names):
            if name in shares.index:
                _bar(panel.axes, y, shares.loc[name, seen], greys, plain(float(totals[setting][name])))
            else:
                panel.axes.text(1, y, lost[setting][name], va="center", color=GREY, fontsize=small(), style="italic")
        panel.axes.set_xlim(0, 100)
        panel.axes.grid(False)
    return figure


def _bar(axes: Axes, y: int, shares: pd.Series, greys: dict[str, tuple], time: str) -> None:
    left = 0.0
    for phase, share in shares.items():
        axes.barh(y, share, left=left, height=0.74, color=[greys[str(phase)]], edgecolor="white", lw=0.4)
        left += float(share)
    axes.text(102, y, time, va="center", fontsize=small())
