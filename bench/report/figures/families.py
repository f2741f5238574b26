"""Figure: the two parts of an estimator's error, squared bias and variance, by family of estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...sources import DRAWS
from ..rows import SETTING, is_training, logits_variance, measured
from .panels import panels_by_estimator
from .style import GREY, log_axis, whiskers

_PARTS = {"variance": ("#56b4e9", -0.2), "squared bias": ("#d55e00", 0.2)}  # colour of "colorblind", offset of the bar
_LEAST = 1e-8
_MOST, _OF_EACH = 30, 3


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per toy: E|g - ∇|² = |bias|² + variance, both over |∇|²; lines separate the families.

    Bars start at 1e-8, so that smaller values have none. A panel of more than _MOST estimators shows the _OF_EACH of
    each family with the least error.
    """
    every = _parts(rows[~is_training(rows)])
    if every.empty:
        return "no toy has a bias, a variance and the norm of its gradient"
    parts = {setting: _chosen(part.droplevel(SETTING)) for setting, part in every.groupby(SETTING)}
    names = {setting: [str(name) for name in part.index] for setting, part in parts.items()}
    handles: list[Artist] = [Patch(color=colour, label=f"{part} over |∇|²") for part, (colour, _) in _PARTS.items()]
    if sum(map(len, names.values())) < len(every):
        handles.append(Patch(alpha=0, label=f"large panels: the {_OF_EACH} of each family with the smallest sum"))
    figure, panels = panels_by_estimator(names, handles, rows["device"].nunique(), "")
    for setting, part in parts.items():
        axes = panels[setting]
        _bars(axes, part)
        _name_families(axes, [_family(name) for name in names[setting]])
    return figure


def _chosen(part: pd.DataFrame) -> pd.DataFrame:
    """The estimators of a panel, by family, then by name."""
    family = pd.Series([_family(str(name)) for name in part.index], index=part.index)
    if len(part) > _MOST:
        error = part["variance", "value"] + part["squared bias", "value"]
        part = part[error.groupby(family).rank(method="first") <= _OF_EACH]
    return part.loc[sorted(part.index, key=lambda name: (family[name], name))]


def _family(name: str) -> str:
    found = next((plugin.family for plugin in ESTIMATORS if plugin.name == name.partition(":")[0]), "")
    return found.replace("_", " ")


def _name_families(axes: Axes, families: list[str]) -> None:
    """A line above the first estimator of each family, and the family's name to the right of it."""
    for y, family in enumerate(families):
        if y == 0 or family != families[y - 1]:
            if y:
                axes.axhline(y - 0.5, color=GREY, lw=0.5)
            axes.annotate(family, (1.01, y), xycoords=("axes fraction", "data"), va="center",
                          color=GREY, fontsize="x-small")  # fmt: skip


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """[task, data, device, estimator] -> (part, end): value, lo, hi of both parts over |∇|²."""
    bias = measured(rows, DRAWS, "bias_rel", "cut")[["value", "lo", "hi"]] ** 2
    norm = measured(rows, DRAWS, "gradient_norm", "cut")["value"]
    variance = logits_variance(rows)[["value", "lo", "hi"]].div(norm**2, axis=0)
    parts = pd.concat({"variance": variance, "squared bias": bias}, axis=1).replace(np.inf, np.nan)
    return parts.dropna(subset=[(part, "value") for part in _PARTS])


def _bars(axes: Axes, parts: pd.DataFrame) -> None:
    shown = parts.clip(lower=_LEAST)
    high = float(np.nanmax(shown.to_numpy())) * 3
    axes.set_xscale("log")
    for part, (colour, place) in _PARTS.items():
        value = shown[part]
        y = np.arange(len(value)) + place
        error = whiskers(value["value"], value["lo"], value["hi"])
        axes.barh(y, value["value"] - _LEAST, left=_LEAST, height=0.36, color=colour, xerr=error,
                  error_kw={"elinewidth": 0.7, "ecolor": "black"})  # fmt: skip
    log_axis(axes.xaxis, _LEAST, high)
