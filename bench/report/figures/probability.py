"""Figure: variance against the probability of the bit, the toy of REBAR and RELAX (Tucker et al. 2017, section 5.1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from dvae_bench.estimators.names import Name, UsageError, resolve
from dvae_bench.estimators.registry import TASKS
from matplotlib.figure import Figure

from ..rows import logits_variance
from ..view import View
from .curves import draw_curves, name_ends, room_for_names
from .panels import most_named
from .style import figure_with_legend, log_axis, not_shown, rows_that_fit, scale, set_title, side_by_side, width

_HEIGHT, _WIDTH = 2.2, 3.4
_LARGEST = 700.0  # math.exp overflows beyond 709
_NEEDED = "no bit was measured at two probabilities; run -t 'bit:t=.45,logit={-4,-2,0,2,4}'"


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per target t: variance of the logits gradient against p = σ(logit), with intervals, without zeros."""
    points = _points(rows)
    if points.empty:
        return _NEEDED
    targets = list(points.groupby(["t", "device"]))
    across = side_by_side(len(targets), _WIDTH)
    deep = rows_that_fit(-(-len(targets) // across), _HEIGHT)
    notes = not_shown(len(targets) - deep * across, "target")
    figure, inches = figure_with_legend(_HEIGHT * deep, notes), (_HEIGHT - 0.7) * scale()
    panels = figure.subplots(deep, across, squeeze=False).ravel()
    for axes, ((t, device), part) in zip(panels, targets, strict=False):
        axes.set(xlabel="probability of the bit", ylabel="variance (logits)", yscale="log", xlim=(0, 1))
        least = part.groupby("estimator")["value"].mean().sort_values(kind="stable").index
        names = view.named([str(name) for name in least], min(most_named(view), room_for_names(inches)))
        title = f"t = {t:g}" + (f", {device}" if points["device"].nunique() > 1 else "")
        set_title(axes, title, width() / across - 1, len(least) - len(names))
        draw_curves(axes, part, "p", names, view)
        log_axis(axes.yaxis, part["value"].min() / 2, part["value"].max() * 2)
        name_ends(axes, part, "p", names, view, inches)
    for axes in panels[len(targets) :]:
        axes.set_axis_off()
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """estimator, device, t, p, value, lo, hi of every single bit, for targets measured at two probabilities or more."""
    found = logits_variance(rows).reset_index()
    found = found[(found["value"] > 0) & np.isfinite(found["value"])]
    bits = found["task"].map(_bit)
    found, bits = found[bits.notna()], bits.dropna()
    found = found.assign(
        d=[bit["d"] for bit in bits],
        t=[bit["t"] for bit in bits],
        p=[1 / (1 + math.exp(min(-bit["logit"], _LARGEST))) for bit in bits],
    )
    found = found[found["d"] == 1]
    return found[found.groupby(["t", "device"])["p"].transform("nunique") > 1]


def _bit(task: str) -> dict[str, Any] | None:
    """The parameters of a single-bit task from its stored name; None for any other name."""
    name = Name.stored(task)
    if name.family != "bit":
        return None
    try:
        return resolve("bit", TASKS.find("bit").fact("hyperparameters"), name.values)
    except UsageError:
        return None
