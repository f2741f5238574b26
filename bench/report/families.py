"""Figure: the two parts of an estimator's error, squared bias and variance, by family of methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .panels import panels_by_estimator
from .rows import SETTING, is_training, measured, variance_at_cut
from .style import GREY, log_axis, whiskers

_PARTS = {"variance": ("#56b4e9", -0.2), "squared bias": ("#d55e00", 0.2)}  # of "colorblind": colour, place
_LEAST = 1e-8


def draw(rows: pd.DataFrame) -> Figure | str:
    """One panel a toy: E|g - ∇|² = |bias|² + variance, both over |∇|²; families are set apart by lines.

    Bars below 1e-8 start at the left edge, and so do those of what is zero.
    """
    parts = _parts(rows[~is_training(rows)])
    if parts.empty:
        return "no toy has a bias, a variance and the norm of its gradient"
    family = {plugin.name: plugin.family for plugin in ESTIMATORS}
    every = set(parts.index.get_level_values("estimator"))
    names = sorted(every, key=lambda name: (family.get(name.partition(":")[0], ""), name))
    of = [family.get(name.partition(":")[0], "").replace("_", " ") for name in names]
    settings = list(parts.groupby(SETTING))
    handles = [Patch(color=colour, label=f"{part} over |∇|²") for part, (colour, _) in _PARTS.items()]
    figure, panels = panels_by_estimator([s for s, _ in settings], names, handles, rows["device"].nunique(), "")
    for axes, (_, part) in zip(panels, settings, strict=True):
        _bars(axes, part.droplevel(SETTING), names)
        for i in range(1, len(names)):
            if of[i] != of[i - 1]:
                axes.axhline(i - 0.5, color=GREY, lw=0.5)
    for i, name in enumerate(of):
        if i == 0 or name != of[i - 1]:
            panels[-1].annotate(name, (1.01, i), xycoords=("axes fraction", "data"), va="center", color=GREY,
                                fontsize="small")  # fmt: skip
    return figure


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> (part, end): value, lo and hi of both parts over |∇|²."""
    bias = measured(rows, "draws", "bias_rel", "cut")[["value", "lo", "hi"]] ** 2
    norm = measured(rows, "draws", "gradient_norm", "cut")["value"]
    variance = variance_at_cut(rows)[["value", "lo", "hi"]].div(norm**2, axis=0)
    parts = pd.concat({"variance": variance, "squared bias": bias}, axis=1).replace(np.inf, np.nan)
    return parts.dropna(subset=[(part, "value") for part in _PARTS])


def _bars(axes: Axes, parts: pd.DataFrame, names: list[str]) -> None:
    shown = parts.clip(lower=_LEAST)
    high = float(np.nanmax(shown.to_numpy())) * 3
    axes.set_xscale("log")
    for part, (colour, place) in _PARTS.items():
        value = shown[part]
        y = [names.index(str(name)) + place for name in value.index]
        error = whiskers(value["value"], value["lo"], value["hi"])
        axes.barh(y, value["value"] - _LEAST, left=_LEAST, height=0.36, color=colour, xerr=error,
                  error_kw={"elinewidth": 0.7, "ecolor": "black"})  # fmt: skip
    log_axis(axes.xaxis, _LEAST, high)
