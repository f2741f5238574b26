"""Figure: the smoothing transformations f1, f2 and f3 as the estimators compute them; the same for every run."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import GREY, figure_with_legend

TITLES = {"f1": "$f_1$, spike-and-exponential", "f2": "$f_2$, power", "f3": "$f_3$, both sides"}
PROBABILITIES = (0.2, 0.5, 0.8)
BETAS = {2.0: ":", 5.0: "-", 15.0: "--"}
_HEIGHT, _POINTS = 2.1, 2001


def plot(rows: pd.DataFrame) -> Figure | str:
    """f(β, p, ε) against ε, one panel per function; colours stand for p, line styles for β."""
    smoothing = {plugin.name for plugin in ESTIMATORS if plugin.family == "smoothing"}
    if smoothing.isdisjoint(name.partition(":")[0] for name in rows["estimator"].unique()):
        return "no estimator of the family smoothing was run"
    import torch
    from dvae_bench.estimators.smoothing.transforms import TRANSFORMS

    palette = sns.color_palette("colorblind").as_hex()
    colours = dict(zip(PROBABILITIES, palette, strict=False))
    handles: list[Artist] = [Line2D([], [], color=colours[p], label=f"$p = {p:g}$") for p in PROBABILITIES]
    handles += [Line2D([], [], color=GREY, ls=line, label=f"$\\beta = {beta:g}$") for beta, line in BETAS.items()]
    figure = figure_with_legend(_HEIGHT, handles)
    eps = torch.linspace(0, 1, _POINTS, dtype=torch.float64)
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        axes.set_title(title)
        axes.set(xlabel="$\\varepsilon$", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for p in PROBABILITIES:
            for beta, line in BETAS.items():
                value = TRANSFORMS[name](beta, torch.full_like(eps, p), eps)
                axes.plot(eps.numpy(), value.numpy(), color=colours[p], ls=line)
    panels[0].set_ylabel("$\\zeta = f(\\beta, p, \\varepsilon)$")
    return figure
