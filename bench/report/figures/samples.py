"""Figure: test images that trained models reconstruct, and samples from their priors."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..palette import colour
from ..placing import best_first
from ..rows import SETTING, finished
from ..view import View
from .panels import most_named
from .style import LINE, new_figure, page, scale, set_title, width
from .titles import titles

_TITLE, _NAMES, _FEWEST = 0.4, 2.0, 3  # inches of a title and of the names; estimators of a task


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """One panel per training task, one line per estimator (its first finished seed).

    On the left the test images, and below them their reconstructions from one draw of z; on the right samples from the
    prior, where the task draws any. Images that are not square are left out.
    """
    shown = pd.concat([finished(rows, f"images_{kind}") for kind in ("original", "reconstruction", "sample")])
    shown = shown.sort_values(["estimator", "seed"], kind="stable")
    if shown.empty:
        return "no images are stored"
    shown = shown[[_square(grey, int(images)) for grey, images in zip(shown["blocks"], shown["value"], strict=True)]]
    if shown.empty:
        return "the stored images are not square"
    settings = [(setting, part.drop_duplicates(["estimator", "metric"])) for setting, part in shown.groupby(SETTING)]
    places, text = best_first(rows), titles(setting for setting, _ in settings)
    line = _line_inches()
    settings = settings[: max(1, int(page() * scale() / (_TITLE + (1 + _FEWEST) * line)))]
    room = int((page() * scale() / len(settings) - _TITLE) / line) - 1
    names = {}
    for setting, part in settings:
        known = set(part["estimator"])
        names[setting] = view.named([name for name in places[setting] if name in known], min(room, most_named(view)))
    heights = [_TITLE + line * (1 + len(shown)) for shown in names.values()]
    figure = new_figure(sum(heights))
    panels = figure.subplots(len(settings), 1, squeeze=False, height_ratios=heights).ravel()
    for axes, (setting, part) in zip(panels, settings, strict=True):
        strips = {
            (line["estimator"], line["metric"]): _strip(line["blocks"], int(line["value"]))
            for line in part.to_dict("records")
        }
        originals = strips[names[setting][0], "images_original"]
        none = np.full_like(originals, np.nan)
        lines = [np.hstack([originals, none])]
        lines += [
            np.hstack([strips[name, "images_reconstruction"], strips.get((name, "images_sample"), none)])
            for name in names[setting]
        ]
        axes.imshow(np.vstack(lines), cmap="gray", vmin=0, vmax=255, aspect="equal", interpolation="nearest")
        axes.set_anchor("W")
        axes.axvline(originals.shape[1] - 0.5, color="white", lw=1.5)
        set_title(axes, f"{text[setting]}: reconstructions, samples", width() / 2)
        labels = ["image", *map(view.label, names[setting])]
        side = len(originals)
        axes.set_yticks([side * (line + 0.5) - 0.5 for line in range(len(lines))], labels)
        for tick, name in zip(axes.get_yticklabels()[1:], names[setting], strict=True):
            tick.set(color=colour(name), fontweight="bold" if view.highlighted(name) else "normal")
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return figure


def _line_inches() -> float:
    """The height of a line of images, of which 16 stand beside the names."""
    return max(LINE * scale(), (width() - _NAMES * scale()) / 16)


def _square(grey: list[float], images: int) -> bool:
    return math.isqrt(len(grey) // images) ** 2 == len(grey) // images


def _strip(grey: list[float], images: int) -> np.ndarray:
    """Square images side by side, [side, side * images]."""
    side = math.isqrt(len(grey) // images)
    return np.hstack(list(np.asarray(grey, dtype=float).reshape(images, side, side)))
