"""Figure: KL(q(z given x) || p(z)) during training, which shows whether z carries information about x."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..placing import best_first
from ..rows import SETTING, curve
from ..view import View
from .curves import draw_curves, name_ends, room_for_names
from .panels import most_named
from .style import figure_with_legend, not_shown, rows_that_fit, scale, set_title, side_by_side, width
from .titles import titles

_HEIGHT, _WIDTH = 2.1, 3.4


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per training task: the mean over test images with its interval, or the range of several seeds."""
    curves = curve(rows, "kl_test").reset_index()
    if curves.empty:
        return "no task reports a KL"
    parts = {setting: part for setting, part in curves.groupby(SETTING)}
    places = best_first(rows)
    across = side_by_side(len(parts), _WIDTH)
    deep = rows_that_fit(-(-len(parts) // across), _HEIGHT)
    figure = figure_with_legend(_HEIGHT * deep, not_shown(len(parts) - deep * across))
    panels, text, inches = (
        figure.subplots(deep, across, squeeze=False).ravel(),
        titles(parts),
        (_HEIGHT - 0.7) * scale(),
    )
    for axes, (setting, part) in zip(panels, parts.items(), strict=False):
        axes.set(xlabel="step", ylabel="KL (nats)")
        known = set(part["estimator"])
        room = min(most_named(view), room_for_names(inches))
        names = view.named([name for name in places[setting] if name in known], room)
        set_title(axes, text[setting], width() / across - 1, len(known) - len(names))
        draw_curves(axes, part, "step", names, view)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        name_ends(axes, part, "step", names, view, inches)
    for axes in panels[len(parts) :]:
        axes.set_axis_off()
    return figure
