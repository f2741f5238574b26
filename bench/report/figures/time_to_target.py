"""Figure: the seconds of training that each estimator needs to reach the target."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...sources import STEPS
from ..rows import CELL, SETTING, final, is_training
from .panels import panels_by_estimator
from .style import GREY, looks, whiskers


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per training task: the mean over seeds with their range, or "not reached"."""
    times = final(rows, "seconds_to_target")
    if times.empty:
        return "no training run reached a target (metric seconds_to_target)"
    trained = rows[is_training(rows) & (rows["source"] == STEPS.name)][CELL].drop_duplicates()
    times = times.reindex(pd.MultiIndex.from_frame(trained.astype(str)))
    order = times["value"].groupby("estimator").mean().sort_values(kind="stable").index
    parts = {setting: part.droplevel(SETTING) for setting, part in times.groupby(SETTING)}
    parts = {setting: part for setting, part in parts.items() if part["value"].notna().any()}
    names = {setting: [str(name) for name in order if name in part.index] for setting, part in parts.items()}
    look = looks(rows)
    handles = [Line2D([], [], ls="", marker="o", color=GREY, label="seconds to the target, with the range of seeds")]
    figure, panels = panels_by_estimator(names, handles, rows["device"].nunique(), "seconds of training")
    for setting, part in parts.items():
        axes = panels[setting]
        for name, line in part.iterrows():
            y, colour = names[setting].index(str(name)), look[str(name)].colour
            if pd.isna(line["value"]):
                axes.text(0.98, y, "not reached", transform=axes.get_yaxis_transform(), ha="right", va="center",
                          color=GREY, fontsize="small", style="italic")  # fmt: skip
                continue
            error = whiskers(*(pd.Series([line[end]]) for end in ("value", "lo", "hi")))
            axes.errorbar(line["value"], y, xerr=error, fmt="o", color=colour, elinewidth=1)
        axes.set_xlim(left=0)
    return figure
