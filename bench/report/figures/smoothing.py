"""Figure: the smoothing transformations f1, f2 and f3 as the estimators compute them; the same for every run."""

from __future__ import annotations

import pandas as pd
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..view import View
from .style import GREY, figure_with_legend, rows_that_fit, set_title, side_by_side, width

TITLES = {"f1": "f₁, spike-and-exponential", "f2": "f₂, power", "f3": "f₃, both sides"}
PROBABILITIES = {0.2: "0.75", 0.5: "0.5", 0.8: "0"}
"""p -> shade of grey"""
BETAS = {2.0: ":", 5.0: "-", 15.0: "--"}
_HEIGHT, _POINTS = 2.1, 2001


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """f(β, p, ε) against ε, one panel per function; shades stand for p, line styles for β."""
    smoothing = {plugin.name for plugin in ESTIMATORS if plugin.family == "smoothing"}
    if smoothing.isdisjoint(name.partition(":")[0] for name in rows["estimator"].unique()):
        return "no estimator of the family smoothing was run"
    import torch
    from dvae_bench.estimators.smoothing.transforms import TRANSFORMS

    handles: list[Artist] = [Line2D([], [], color=shade, label=f"p = {p:g}") for p, shade in PROBABILITIES.items()]
    handles += [Line2D([], [], color=GREY, ls=line, label=f"β = {beta:g}") for beta, line in BETAS.items()]
    across = side_by_side(len(TITLES), 2.2)
    deep = rows_that_fit(-(-len(TITLES) // across), _HEIGHT, handles)
    figure = figure_with_legend(_HEIGHT * deep, handles)
    eps = torch.linspace(0, 1, _POINTS, dtype=torch.float64)
    panels = figure.subplots(deep, across, sharey=True, squeeze=False).ravel()
    for axes, (name, title) in zip(panels, TITLES.items(), strict=False):
        set_title(axes, title, width() / across - 0.4)
        axes.set(xlabel="ε", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for p, shade in PROBABILITIES.items():
            for beta, line in BETAS.items():
                value = TRANSFORMS[name](beta, torch.full_like(eps, p), eps)
                axes.plot(eps.numpy(), value.numpy(), color=shade, ls=line)
    for axes in panels[len(TITLES) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("ζ = f(β, p, ε)")
    return figure
