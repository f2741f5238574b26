"""Figure: relative bias of every estimator on every toy task, and the smallest detectable bias."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...sources import DRAWS
from ..rows import SETTING, is_training, measured
from ..verdicts import BIASED, UNBIASED, of_logits, verdicts
from .panels import panels_by_estimator
from .style import GREY, Look, log_axis, looks, whiskers

_LEAST = 1e-4


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per task, one line per estimator: filled if biased, else hollow with its smallest detectable bias.

    A panel shows the estimators that support its task. Relative biases below 1e-4 are drawn at the left edge; an
    estimator without a verdict shows its status.
    """
    points = _points(rows[~is_training(rows)])
    if points["value"].isna().all():
        return "no toy task has a bias"
    look = looks(rows)
    parts = {setting: part.droplevel(SETTING) for setting, part in points.groupby(SETTING)}
    names = {setting: [str(name) for name in part.index] for setting, part in parts.items()}
    figure, panels = panels_by_estimator(names, _handles(), rows["device"].nunique(), "relative bias")
    shown = points[["value", "sdb", "hi"]].to_numpy(dtype=float)
    shown = shown[(shown > 0) & (shown < np.inf)]
    low = max(min(shown.min(initial=1.0), 0.1) / 1.5, _LEAST)
    high = max(shown.max(initial=low), 10 * low) * 1.8
    for setting, part in parts.items():
        axes = panels[setting]
        axes.set(xscale="log")
        axes.grid(True, axis="y")
        for y, (name, line) in enumerate(part.iterrows()):
            _line(axes, y, line, look[str(name)], low)
        log_axis(axes.xaxis, low, high)
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> verdict, sdb, value, lo, hi of the logits gradient, where it is supported."""
    own = of_logits(verdicts(rows))
    own = own[own["verdict"] != "unsupported"].sort_index()
    return own[["verdict", "sdb"]].join(measured(rows, DRAWS, "bias_rel", "cut")[["value", "lo", "hi"]])


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
            [], [], ls="", marker="o", color=GREY, mfc="white", label="unbiased: measured bias (left edge: or below)"
        ),
        Line2D([], [], ls="", marker="|", color=GREY, ms=7, mew=1.3, label="smallest detectable bias"),
    ]
