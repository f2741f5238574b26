"""Figure: KL(q(z given x) || p(z)) during training, which shows whether z carries information about x."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..rows import SETTING, curve, setting_label
from .style import estimator_handles, figure_with_legend, looks, set_title, side_by_side, whiskers, width

_HEIGHT, _COLUMNS = 2.1, 2


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per training task: the mean over test images with its interval, or the range of several seeds."""
    curves = curve(rows, "kl_test").reset_index()
    if curves.empty:
        return "no task reports a KL"
    look = looks(rows)
    settings = list(curves.groupby(SETTING))
    columns = side_by_side(len(settings), _COLUMNS)
    lines = -(-len(settings) // columns)
    figure = figure_with_legend(_HEIGHT * lines, estimator_handles(sorted(set(curves["estimator"])), look, lines=True))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (setting, part) in zip(panels, settings, strict=False):
        set_title(axes, setting_label(setting, rows["device"].nunique()), (width() - 1) / columns)
        axes.set(xlabel="step", ylabel="KL (nats)")
        for name, line in part.groupby("estimator"):
            each = look[str(name)]
            error = whiskers(line["value"], line["lo"], line["hi"])
            axes.errorbar(
                line["step"], line["value"], yerr=error, color=each.colour, ls=each.line,
                marker=each.marker, ms=3, mec="white", mew=0.3, elinewidth=0.7,
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    return figure
