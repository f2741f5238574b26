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
from .style import estimator_handles, figure_with_legend, log_axis, looks, side_by_side, whiskers

_HEIGHT, _COLUMNS = 2.2, 2
_LARGEST = 700.0  # math.exp overflows beyond 709
_NEEDED = "no bit was measured at two probabilities; run -t 'bit:t=.45,logit={-4,-2,0,2,4}'"


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per target t: variance of the logits gradient against p = σ(logit), with intervals, without zeros."""
    points = _points(rows)
    if points.empty:
        return _NEEDED
    look = looks(rows)
    targets = list(points.groupby(["t", "device"]))
    columns = side_by_side(len(targets), _COLUMNS)
    lines = -(-len(targets) // columns)
    figure = figure_with_legend(_HEIGHT * lines, estimator_handles(sorted(set(points["estimator"])), look, lines=True))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, ((t, device), part) in zip(panels, targets, strict=False):
        axes.set_title(f"t = {t:g}" + (f" ({device})" if points["device"].nunique() > 1 else ""))
        axes.set(xlabel="probability of the bit", ylabel="variance (logits)", yscale="log", xlim=(0, 1))
        for name, line in part.groupby("estimator"):
            line, each = line.sort_values("p"), look[str(name)]
            error = whiskers(line["value"], line["lo"], line["hi"])
            axes.errorbar(
                line["p"], line["value"], yerr=error, color=each.colour, ls=each.line,
                marker=each.marker, ms=3.5, mec="white", mew=0.3, elinewidth=0.7,
            )  # fmt: skip
        log_axis(axes.yaxis, part["value"].min() / 2, part["value"].max() * 2)
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
