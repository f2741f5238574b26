"""Figure: the seconds of training that each estimator needs to reach the target."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...sources import STEPS
from ..palette import OTHERS, colour
from ..rows import CELL, SETTING, final, is_training
from ..view import View
from .panels import panels_by_estimator
from .style import GREY, marker, small, whiskers


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per training task: the mean over seeds with their range, or "not reached"."""
    times = final(rows, "seconds_to_target")
    if times.empty:
        return "no training run reached a target (metric seconds_to_target)"
    trained = rows[is_training(rows) & (rows["source"] == STEPS.name)][CELL].drop_duplicates()
    times = times.reindex(pd.MultiIndex.from_frame(trained.astype(str)))
    order = times["value"].groupby("estimator").mean().sort_values(kind="stable").index
    parts = {setting: part.droplevel(SETTING) for setting, part in times.groupby(SETTING)}
    parts = {setting: part for setting, part in parts.items() if part["value"].notna().any()}
    orders = {setting: [str(name) for name in order if name in part.index] for setting, part in parts.items()}
    handles = [
        marker("seconds to the target, with the range of seeds"),
    ]
    figure, panels = panels_by_estimator(orders, view, handles, "seconds of training")
    for setting, panel in panels.items():
        axes, part = panel.axes, parts[setting]
        for y, name in enumerate(panel.names):
            line = part.loc[name]
            if pd.isna(line["value"]):
                axes.text(0.98, y, "not reached", transform=axes.get_yaxis_transform(), ha="right", va="center",
                          color=GREY, fontsize=small(), style="italic")  # fmt: skip
                continue
            error = whiskers(*(pd.Series([line[end]]) for end in ("value", "lo", "hi")))
            axes.errorbar(line["value"], y, xerr=error, fmt="o", color=colour(name), elinewidth=1)
        rest = part.loc[list(panel.rest), "value"].dropna()
        axes.plot(rest, [len(panel.names)] * len(rest), "o", ms=3, color=OTHERS)
        axes.set_xlim(left=0)
    return figure
