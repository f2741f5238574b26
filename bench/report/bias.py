"""Figure: relative bias of every estimator on every toy task, and the smallest that could have been seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .rows import CELL, SETTING, is_training, measured, setting_label
from .style import GREY, Look, figure_with_legend, log_axis, looks, set_title, side_by_side, whiskers, width
from .verdicts import BIASED, UNBIASED, verdicts

_COLUMNS = 3
_LINE = 0.16
_LEAST = 1e-4


def draw(rows: pd.DataFrame) -> Figure | str:
    """One panel a task, one line an estimator: filled where biased, else hollow with its smallest detectable bias.

    Panels have the estimators that support their task. Biases below 1e-4 of the gradient are drawn at the left edge; an
    estimator without verdict shows its status.
    """
    points = _points(rows[~is_training(rows)])
    if points["value"].isna().all():
        return "no toy task has a bias"
    look = looks(rows)
    settings = [(setting, part.droplevel(SETTING)) for setting, part in points.groupby(SETTING)]
    settings.sort(key=lambda each: -len(each[1]))
    alike = all(part.index.equals(settings[0][1].index) for _, part in settings)
    columns = side_by_side(len(settings), _COLUMNS if alike else _COLUMNS - 1)
    heights = [len(part) for _, part in settings[::columns]]
    figure = figure_with_legend(sum(_LINE * height + 0.65 for height in heights), _handles())
    grid = figure.subplots(
        len(heights), columns, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [h + 3 for h in heights]}
    )
    panels = grid.ravel()
    shown = points[["value", "sdb", "hi"]].to_numpy(dtype=float)
    shown = shown[(shown > 0) & (shown < np.inf)]
    low = max(min(shown.min(initial=1.0), 0.1) / 1.5, _LEAST)
    high = max(shown.max(initial=low), 10 * low) * 1.8
    for place, (axes, (setting, part)) in enumerate(zip(panels, settings, strict=False)):
        axes.set(xscale="log")
        set_title(axes, setting_label(setting, rows["device"].nunique()), (width() - 1) / columns)
        for y, (name, line) in enumerate(part.iterrows()):
            _line(axes, y, line, look[str(name)], low)
        axes.set_yticks(range(len(part)), [] if alike and place % columns else part.index)
        axes.set_ylim(heights[place // columns] - 0.5, -0.5)
        log_axis(axes.xaxis, low, high)
    for axes in panels[max(len(settings) - columns, 0) : len(settings)]:
        axes.set_xlabel("relative bias")
        axes.tick_params(labelbottom=True)
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> verdict, sdb, value, lo, hi at the cut, of those that support the task."""
    found = verdicts(rows).reset_index()
    own = found[found["group"].isin(["cut", ""]) & (found["verdict"] != "unsupported")]
    own = own.drop_duplicates(CELL, keep="last").set_index(CELL).sort_index()
    return own[["verdict", "sdb"]].join(measured(rows, "draws", "bias_rel", "cut")[["value", "lo", "hi"]])


def _line(axes: Axes, y: int, line: pd.Series, look: Look, low: float) -> None:
    if line["verdict"] not in (BIASED, UNBIASED) or not line["value"] >= 0:
        axes.text(0.98, y, line["verdict"], transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=GREY, fontsize="small", style="italic")  # fmt: skip
        return
    if line["verdict"] == BIASED:
        error = whiskers(*(pd.Series([line[k]]) for k in ("value", "lo", "hi")))
        axes.errorbar(max(line["value"], low), y, xerr=error, fmt="o", color=look.colour, elinewidth=1)
        return
    value, sdb = max(line["value"], low), max(line["sdb"], low)
    axes.plot([value, sdb], [y, y], color=look.colour, lw=0.7)
    axes.plot(sdb, y, "|", color=look.colour, ms=7, mew=1.3)
    axes.plot(value, y, "o", mfc="white", mec=look.colour, mew=1, clip_on=line["value"] >= low, zorder=4)


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], ls="", marker="o", color=GREY, label="biased, with 95 % interval"),
        Line2D(
            [], [], ls="", marker="o", color=GREY, mfc="white", label="unbiased: bias measured (at the left edge: less)"
        ),
        Line2D([], [], ls="", marker="|", color=GREY, ms=7, mew=1.3, label="its smallest detectable bias"),
    ]
