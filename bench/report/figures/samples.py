"""Figure: test images that trained models reconstruct, and samples from their priors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..rows import SETTING, finished, setting_label
from .style import new_figure, set_title

_SIDE = 28
_LINE = 0.24  # inches
_TITLE = 0.35


def plot(rows: pd.DataFrame) -> Figure | str:
    """One panel per training task, one line per estimator (its first finished seed).

    On the left the test images, and below them their reconstructions from one draw of z; on the right samples from the
    prior, where the task draws any.
    """
    shown = pd.concat([finished(rows, f"images_{kind}") for kind in ("original", "reconstruction", "sample")])
    shown = shown.sort_values(["estimator", "seed"], kind="stable")
    if shown.empty:
        return "no images are stored"
    settings = [(setting, part.drop_duplicates(["estimator", "metric"])) for setting, part in shown.groupby(SETTING)]
    heights = [_TITLE + _LINE * (1 + part["estimator"].nunique()) for _, part in settings]
    figure = new_figure(sum(heights))
    panels = figure.subplots(len(settings), 1, squeeze=False, height_ratios=heights).ravel()
    for axes, (setting, part) in zip(panels, settings, strict=True):
        names = sorted(set(part["estimator"]))
        strips = {(line["estimator"], line["metric"]): _strip(line["blocks"]) for line in part.to_dict("records")}
        originals = strips[names[0], "images_original"]
        none = np.full_like(originals, np.nan)
        lines = [np.hstack([originals, none])]
        lines += [
            np.hstack([strips[name, "images_reconstruction"], strips.get((name, "images_sample"), none)])
            for name in names
        ]
        axes.imshow(np.vstack(lines), cmap="gray", vmin=0, vmax=255, aspect="equal", interpolation="nearest")
        axes.axvline(originals.shape[1] - 0.5, color="white", lw=1.5)
        label = f"{setting_label(setting, rows['device'].nunique())}: reconstructions, samples"
        set_title(axes, label, _LINE * lines[0].shape[1] / _SIDE)
        axes.set_yticks([_SIDE * (line + 0.5) - 0.5 for line in range(len(lines))], ["image", *names])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return figure


def _strip(grey: list[float]) -> np.ndarray:
    """Images side by side, [28, 28 * images]."""
    return np.hstack(list(np.asarray(grey, dtype=float).reshape(-1, _SIDE, _SIDE)))
