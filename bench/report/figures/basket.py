"""Figure: bias and variance of a basket of estimators along a training run, all at the same parameters."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...sources import STEPS
from ..rows import CELL, over_seeds
from ..view import View
from .curves import draw_curves, name_ends, room_for_names
from .panels import most_named
from .style import figure_with_legend, log_axis, not_shown, rows_that_fit, scale, set_title, width
from .titles import titles

_HEIGHT = 2.1
_QUANTITIES = {"bias_encoder": "relative bias (encoder)", "var_encoder": "variance (encoder)"}


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """Two panels per training run, by step: bias against the reference, and variance; mean and range over seeds."""
    own = (rows["source"] == STEPS.name) & (rows["group"] != "") & rows["metric"].isin(list(_QUANTITIES))
    points = over_seeds(rows[own & (rows["value"] > 0)], [*CELL, "group", "metric", "step"]).reset_index()
    if points.empty:
        return "no run measured a basket along training; run --basket disarm --basket rloo"
    runs = list(points.groupby(CELL))
    shown = runs[: rows_that_fit(len(runs), _HEIGHT)]
    figure = figure_with_legend(_HEIGHT * len(shown), not_shown(len(runs) - len(shown), "run", "-t and -e"))
    inches = (_HEIGHT - 0.7) * scale()
    grid = figure.subplots(len(shown), len(_QUANTITIES), squeeze=False)
    text = titles([setting for (*setting, _), _ in runs])
    for panels, ((*setting, trained), part) in zip(grid, shown, strict=True):
        title = f"{text[tuple(setting)]}, trained by {view.label(str(trained))}"
        curves = part.drop(columns="estimator").rename(columns={"group": "estimator"})
        least = (
            curves[curves["metric"] == "var_encoder"].groupby("estimator")["value"].mean().sort_values(kind="stable")
        )
        names = view.named([str(name) for name in least.index], min(most_named(view), room_for_names(inches)))
        set_title(panels[0], title, width() / 2 - 0.9, len(least) - len(names))
        for axes, (metric, label) in zip(panels, _QUANTITIES.items(), strict=True):
            lines = curves[curves["metric"] == metric]
            axes.set(xlabel="step", ylabel=label, yscale="log")
            draw_curves(axes, lines, "step", [name for name in names if name in set(lines["estimator"])], view)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            if len(lines):
                log_axis(axes.yaxis, lines["value"].min() / 2, lines["value"].max() * 2)
        if len(lines):
            name_ends(panels[-1], lines, "step", names, view, inches)
    return figure
