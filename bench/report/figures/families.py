"""Figure: the two parts of an estimator's error, squared bias and variance, by family of estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...sources import DRAWS
from ..palette import OTHERS, colour, family
from ..rows import SETTING, logits_variance, measured, toys
from ..view import View
from .panels import panels_by_estimator
from .style import GREY, log_axis, marker, whiskers

_PARTS = {"variance": ("o", True), "squared bias": ("D", False)}  # marker, and whether it is filled
_LEAST = 1e-8


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per toy: E|g - ∇|² = |bias|² + variance, both over |∇|²; lines separate the families.

    Values below 1e-8 are drawn at the left edge. An estimator's place among those that are named is by the sum.
    """
    every = _parts(toys(rows))
    if every.empty:
        return "no toy has a bias, a variance and the norm of its gradient"
    parts: dict[Any, Any] = {setting: part.droplevel(SETTING) for setting, part in every.groupby(SETTING)}
    orders = {setting: _by_error(part) for setting, part in parts.items()}

    def by_family(setting: Any, names: Sequence[str]) -> Sequence[str]:
        order = list(dict.fromkeys(family(name) for name in names))
        return sorted(names, key=lambda name: (order.index(family(name)), orders[setting].index(name)))

    handles = [
        marker(f"{part} over |∇|²", symbol, mfc=GREY if full else "white") for part, (symbol, full) in _PARTS.items()
    ]
    figure, panels = panels_by_estimator(orders, view, handles, "", by_family)
    for setting, panel in panels.items():
        axes, part = panel.axes, parts[setting]
        axes.set_xscale("log")
        shown = part.clip(lower=_LEAST)
        for y, name in enumerate(panel.names):
            ends = [shown.loc[name, (each, "value")] for each in _PARTS]
            axes.plot(ends, [y, y], color=colour(name), lw=0.6, alpha=0.6)
            for each, (symbol, full) in _PARTS.items():
                line = shown.loc[name, each]
                error = whiskers(*(pd.Series([line[key]]) for key in ("value", "lo", "hi")))
                axes.errorbar(line["value"], y, xerr=error, fmt=symbol, ms=4 if full else 3.4, color=colour(name),
                              mfc=colour(name) if full else "white", elinewidth=0.7)  # fmt: skip
            if y and family(name) != family(panel.names[y - 1]):
                axes.axhline(y - 0.5, color=GREY, lw=0.4)
        for each, (symbol, full) in _PARTS.items():
            x = shown.loc[list(panel.rest), (each, "value")]
            axes.plot(
                x, [len(panel.names)] * len(x), symbol, ms=2.5, mfc=OTHERS if full else "white", mec=OTHERS, mew=0.5
            )
        log_axis(axes.xaxis, _LEAST, float(np.nanmax(shown.to_numpy())) * 3)
    return figure


def _by_error(part: pd.DataFrame) -> list[str]:
    error = part["variance", "value"] + part["squared bias", "value"]
    return [str(name) for name in error.sort_values(kind="stable").index]


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> (part, end): value, lo, hi of both parts over |∇|²."""
    bias = measured(rows, DRAWS, "bias_rel", "cut")[["value", "lo", "hi"]] ** 2
    norm = measured(rows, DRAWS, "gradient_norm", "cut")["value"]
    variance = logits_variance(rows)[["value", "lo", "hi"]].div(norm**2, axis=0)
    parts = pd.concat({"variance": variance, "squared bias": bias}, axis=1).replace(np.inf, np.nan)
    return parts.dropna(subset=[(part, "value") for part in _PARTS])
