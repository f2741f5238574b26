"""Figure: relative bias of every estimator on every toy task, and the smallest detectable bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...sources import DRAWS
from ..palette import OTHERS, colour
from ..placing import best_first
from ..rows import SETTING, measured, toys
from ..verdicts import BIASED, UNBIASED, of_logits, verdicts
from ..view import View
from .panels import panels_by_estimator
from .style import GREY, log_axis, marker, small, whiskers

_LEAST = 1e-4
_ORDER = [UNBIASED, BIASED]


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per task, one line per estimator, by verdict, then by size: hollow with the smallest detectable bias
    if none was found, else filled.

    A panel shows the estimators that support its task. Relative biases below 1e-4 are drawn at the left edge; an
    estimator without a verdict shows its status.
    """
    points = _points(toys(rows))
    if points["value"].isna().all():
        return "no toy task has a bias"
    parts: dict[Any, Any] = {setting: part.droplevel(SETTING) for setting, part in points.groupby(SETTING)}
    places = best_first(rows)
    orders = {setting: [name for name in places[setting] if name in part.index] for setting, part in parts.items()}

    def by_size(setting: Any, names: Sequence[str]) -> Sequence[str]:
        return list(parts[setting].loc[list(names)].sort_values(["place", "size"], kind="stable").index)

    figure, panels = panels_by_estimator(orders, view, _handles(), "relative bias", by_size)
    shown = points[["value", "sdb", "hi"]].to_numpy(dtype=float)
    shown = shown[(shown > 0) & (shown < np.inf)]
    low = max(min(shown.min(initial=1.0), 0.1) / 1.5, _LEAST)
    high = max(shown.max(initial=low), 10 * low) * 1.8
    for setting, panel in panels.items():
        axes, part = panel.axes, parts[setting]
        axes.set(xscale="log")
        for y, name in enumerate(panel.names):
            _line(axes, y, part.loc[name], colour(name), low)
        words = part.loc[list(panel.names), "verdict"].tolist()
        if UNBIASED in words and BIASED in words[words.index(UNBIASED) :]:
            axes.axhline(words.index(BIASED) - 0.5, color=GREY, lw=0.5)
        others = part.loc[list(panel.rest)]
        others = others[others["verdict"].isin(_ORDER) & (others["value"] >= 0)]
        for word, face in ((UNBIASED, "white"), (BIASED, OTHERS)):
            x = others.loc[others["verdict"] == word, "value"].clip(lower=low)
            axes.plot(x, np.full(len(x), len(panel.names)), "o", ms=3, mfc=face, mec=OTHERS, mew=0.7)
        log_axis(axes.xaxis, low, high)
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> verdict, sdb, value, lo, hi of the logits gradient, where it is supported.

    place, size: the verdict's place in the figure, and what orders the lines within it.
    """
    own = of_logits(verdicts(rows)).sort_index()
    points = own[["verdict", "sdb"]].join(measured(rows, DRAWS, "bias_rel", "cut")[["value", "lo", "hi"]])
    size = points["value"].where(points["verdict"] == BIASED, points["sdb"])
    place = [_ORDER.index(word) if word in _ORDER else len(_ORDER) for word in points["verdict"]]
    return points.assign(place=place, size=size)


def _line(axes: Axes, y: int, line: pd.Series, shade: str, low: float) -> None:
    if line["verdict"] not in _ORDER or not line["value"] >= 0:
        axes.text(0.98, y, line["verdict"], transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=GREY, fontsize=small(), style="italic")  # fmt: skip
        return
    if line["verdict"] == BIASED:
        error = whiskers(*(pd.Series([line[k]]) for k in ("value", "lo", "hi")))
        axes.errorbar(max(line["value"], low), y, xerr=error, fmt="o", color=shade, elinewidth=1)
        return
    value, sdb = max(line["value"], low), max(line["sdb"], low)
    axes.plot([value, sdb], [y, y], color=shade, lw=0.7)
    axes.plot(sdb, y, "|", color=shade, ms=6, mew=1.3)
    axes.plot(value, y, "o", mfc="white", mec=shade, mew=1, clip_on=line["value"] >= low, zorder=4)


def _handles() -> list[Artist]:
    return [
        marker("biased, with 95 % interval"),
        marker("unbiased: measured bias", mfc="white"),
        marker("smallest detectable bias", "|", ms=6, mew=1.3),
    ]
