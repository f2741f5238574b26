"""A figure drawn into the caller's Axes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from dvae_bench.estimators.names import UsageError
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import made_as, style
from .write import plot

_LEAST = 0.6  # inches: a smaller panel has no room for its ticks


class InAxes(Figure):
    """Stands for the figure while it is drawn: its panels are Axes of the caller, in order; None for a hidden one."""

    def __init__(self, panels: Iterable[Axes | None], **how: Any) -> None:
        self.panels, self.key = iter(panels), dict[str, Any]()
        self.handed: list[Axes] = []
        super().__init__(**how | {"layout": None})  # the caller's figure places its Axes

    def add_subplot(self, *place: Any, **how: Any) -> Axes:
        given = next(self.panels)
        panel = super().add_subplot(*place) if given is None else given
        other = how.get("sharey")
        if other is not None and panel.get_shared_y_axes().get_siblings(panel) == [panel]:
            panel.sharey(other)
            panel.tick_params(labelleft=False)
        self.handed.append(panel)
        return panel

    @property  # type: ignore[misc]
    def axes(self) -> list[Axes]:  # type: ignore[override]
        return self.handed

    def legend(self, *given: Any, **how: Any) -> Any:
        self.key = {"handles": how["handles"], "ncols": how["ncols"]}


def draw_into(name: str, rows: pd.DataFrame, ax: Any) -> None:
    """Draw a figure from `prepare`d rows: each panel into one of the given Axes, or all of them within a single one.

    ax: an Axes, or an array of as many as there are panels. The legend goes into the first panel or, where a single
    Axes is divided, below the panels. Raises UsageError when the rows give no such figure, for another number of Axes,
    and for one that is too small to be divided.
    """
    given = list[Axes](np.atleast_1d(np.asarray(ax, dtype=object)).ravel())
    if not given or not all(isinstance(each, Axes) for each in given):
        raise UsageError(f"ax is an Axes of matplotlib or an array of them, not {ax!r}")
    size = _inches(given[0])
    with style("notebook"), mpl.rc_context({"figure.figsize": size}):
        alone = plot(name, rows)
        if isinstance(alone, str):
            raise UsageError(f"these rows give no figure {name!r}: {alone}")
        visible = [panel.axison for panel in alone.axes]
        count = sum(visible)
        divided = len(given) == 1 < count
        if divided:
            panels = _within(given[0], alone, visible, size)
        elif len(given) != count:
            raise UsageError(
                f"the figure {name!r} of these rows has {count} panels: give as many Axes, not {len(given)}, as in "
                f'ax=plt.subplots(1, {count}, layout="constrained")[1], or a single one, which is divided'
            )
        else:
            panels = given
        rest = iter(panels)
        with made_as(lambda **how: InAxes([next(rest) if shown else None for shown in visible], **how)):
            drawn = plot(name, rows)
        if drawn.key and divided:
            given[0].legend(**drawn.key, loc="lower center", borderaxespad=0)
        elif drawn.key:
            panels[0].legend(handles=drawn.key["handles"])


def _inches(axes: Axes) -> tuple[float, float]:
    """The width and height of an Axes."""
    whole, box = axes.get_figure(root=True), axes.get_window_extent()
    assert whole is not None
    return box.width / whole.dpi, box.height / whole.dpi


def _within(axes: Axes, alone: Figure, visible: list[bool], size: tuple[float, float]) -> list[Axes]:
    """Panels inside an Axes where a figure of its size has them, above its legend."""
    alone.set_size_inches(size)
    needed = (
        f"{sum(visible)} panels do not fit into this Axes of {size[0]:.1f} by {size[1]:.1f} inches: make its figure "
        "larger, give one Axes per panel, or choose fewer tasks, as in run.only(task=...)"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of matplotlib, where the panels do not fit
        try:
            alone.draw_without_rendering()
        except UserWarning as error:
            raise UsageError(needed) from error
    places = [panel.get_position() for panel, shown in zip(alone.axes, visible, strict=True) if shown]
    if min(min(place.width * size[0], place.height * size[1]) for place in places) < _LEAST:
        raise UsageError(needed)
    axes.set_axis_off()
    return [axes.inset_axes(place.bounds) for place in places]


class Shown(Figure):
    """A figure that a notebook shows, whether pyplot was imported or not."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()
