"""Figure: bias and variance of a basket of estimators along a training run, all at the same parameters."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...sources import STEPS
from ..rows import CELL, over_seeds, setting_label
from .style import estimator_handles, figure_with_legend, log_axis, looks, set_title, whiskers, width

_HEIGHT = 2.1
_QUANTITIES = {"bias_encoder": "relative bias (encoder)", "var_encoder": "variance (encoder)"}


def plot(rows: pd.DataFrame) -> Figure | str:
    """Two panels per training run, by step: bias against the reference, and variance; mean and range over seeds."""
    own = (rows["source"] == STEPS.name) & (rows["group"] != "") & rows["metric"].isin(list(_QUANTITIES))
    points = over_seeds(rows[own & (rows["value"] > 0)], [*CELL, "group", "metric", "step"]).reset_index()
    if points.empty:
        return "no run measured a basket along training; run --basket disarm --basket rloo"
    look = looks(points.assign(estimator=points["group"]))
    runs = list(points.groupby(CELL))
    figure = figure_with_legend(_HEIGHT * len(runs), estimator_handles(sorted(look), look, lines=True))
    grid = figure.subplots(len(runs), len(_QUANTITIES), squeeze=False)
    for panels, ((*setting, trained), part) in zip(grid, runs, strict=True):
        where = setting_label(setting, rows["device"].nunique())
        set_title(panels[0], f"{where}, trained by {trained}", width() / 2 - 0.6)
        for axes, (metric, label) in zip(panels, _QUANTITIES.items(), strict=True):
            shown = part[part["metric"] == metric]
            axes.set(xlabel="step", ylabel=label, yscale="log")
            for name, line in shown.groupby("group"):
                each = look[str(name)]
                axes.errorbar(
                    line["step"], line["value"], yerr=whiskers(line["value"], line["lo"], line["hi"]),
                    color=each.colour, ls=each.line, marker=each.marker, ms=3, mec="white", mew=0.3, elinewidth=0.7,
                )  # fmt: skip
            axes.xaxis.set_major_locator(MaxNLocator(6))
            if len(shown):
                log_axis(axes.yaxis, shown["value"].min() / 2, shown["value"].max() * 2)
    return figure
