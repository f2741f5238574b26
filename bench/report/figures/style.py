"""One look for all figures of a report: an estimator keeps its colour, marker and line; legible in a paper."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

WIDTH = 7.2
STYLES = {"paper": (7.2, 3.5), "notebook": (8.0, 4.2), "talk": (11.0, 6.0)}  # inches: two columns wide, one column wide
GREY = "0.45"
TITLE_LINE = 0.13  # inches at the font size of "paper", like the next three
_LEGEND_LINE, _HANDLE, _LETTER = 0.18, 0.5, 0.062
_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
_MARKERS = "os^DvPX"
_LINES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1.2, 1)))
_COLOURS = (0, 1, 2, 3, 4, 9, 5, 6, 7, 8)  # "colorblind" with its pale colours last
_MAKE: ContextVar[Callable[..., Figure]] = ContextVar("_MAKE", default=Figure)


@dataclass(frozen=True)
class Look:
    """How an estimator is drawn; ten colours and seven markers give seventy distinct looks."""

    colour: str
    marker: str
    line: Any


def looks(rows: pd.DataFrame) -> dict[str, Look]:
    """The look of every estimator in the rows, by its alphabetical rank."""
    palette = sns.color_palette("colorblind").as_hex()
    return {
        name: Look(palette[_COLOURS[i % 10]], _MARKERS[i % 7], _LINES[i // 10 % 3])
        for i, name in enumerate(sorted(set(rows["estimator"])))
    }


def style(name: str = "paper", columns: int = 2) -> AbstractContextManager[None]:
    """The matplotlib settings of every figure, for a `with` block that leaves the caller's own settings alone.

    name: one of STYLES, with the font sizes of seaborn's context of that name. columns: 2 or 1, the width on the page.
    """
    return mpl.rc_context(
        sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9", "grid.linewidth": 0.5})
        | sns.plotting_context(name, font_scale=0.85)
        | {
            "figure.figsize": (STYLES[name][2 - columns], 4.0),
            "pdf.fonttype": 42,
            "svg.fonttype": "path",
            "svg.hashsalt": "dvae-bench",
            "figure.dpi": 150,
            "savefig.dpi": 150,
            "font.family": "DejaVu Sans",
            "axes.linewidth": 0.7,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.formatter.use_mathtext": True,
            "lines.markersize": 4.8,
            "lines.linewidth": 1.1,
            "legend.frameon": False,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
        }
    )


def width() -> float:
    """The width in inches of a figure in the current style."""
    return float(mpl.rcParams["figure.figsize"][0])


def scale() -> float:
    """The font size of the current style over that of "paper"."""
    return float(mpl.rcParams["font.size"]) / float(sns.plotting_context("paper", font_scale=0.85)["font.size"])


def side_by_side(panels: int, most: int) -> int:
    """How many panels stand side by side: `most` at the width and font size of "paper", fewer in larger letters."""
    return max(1, min(panels, round(most * width() / (WIDTH * scale()))))


def new_figure(height: float) -> Figure:
    """A figure of the style's width and `height` inches, of the class that `made_as` gives."""
    return _MAKE.get()(figsize=(width(), height), layout="constrained")


@contextmanager
def made_as(make: Callable[..., Figure]) -> Iterator[None]:
    """For a `with` block: figures are made by `make` instead of by `Figure`."""
    token = _MAKE.set(make)
    try:
        yield
    finally:
        _MAKE.reset(token)


def figure_with_legend(height: float, handles: Sequence[Artist]) -> Figure:
    """A figure of the style's width: axes of total `height` inches (in "paper") above a legend of one or more lines."""
    columns = _legend_columns([len(str(handle.get_label())) for handle in handles])
    lines = math.ceil(len(handles) / columns)
    figure = new_figure((height + _LEGEND_LINE * lines + 0.1) * scale())
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)
    return figure


def _legend_columns(lengths: list[int]) -> int:
    """As many columns as fit the width; matplotlib fills a legend column by column."""
    for columns in range(len(lengths), 1, -1):
        widths = [_HANDLE + _LETTER * max(part) for part in np.array_split(lengths, columns)]
        if sum(widths) * scale() < width():
            return columns
    return 1


def title_lines(label: str, inches: float) -> list[str]:
    """The label wrapped to this width: lines end at spaces, before parentheses and after commas."""
    letters = max(1, int(inches / (_LETTER * scale())))
    if len(label) <= letters:
        return [label]
    spaced = re.sub(r",(?=\S)", ", ", label.replace(" (", "\n("))
    return [line for part in spaced.split("\n") for line in textwrap.wrap(part, letters, **_WHOLE_WORDS)]


def set_title(axes: Axes, label: str, inches: float) -> None:
    """Set the label above a panel of this width, in smaller letters if a line is still too long."""
    lines = title_lines(label, inches)
    longest = _LETTER * scale() * max(map(len, lines), default=0)
    size = mpl.rcParams["axes.titlesize"] * min(1.0, inches / max(longest, inches))
    axes.set_title("\n".join(lines), fontsize=size)


def estimator_handles(names: Sequence[str], look: dict[str, Look], lines: bool = False) -> list[Artist]:
    return [
        Line2D([], [], color=look[n].colour, marker=look[n].marker, ls=look[n].line if lines else "", label=n)
        for n in names
    ]


def whiskers(value: pd.Series, lo: pd.Series, hi: pd.Series) -> np.ndarray:
    """[2, n] lengths for `errorbar`; 0 where a value has no finite interval."""
    lengths = np.clip(np.stack([value - lo, hi - value]).astype(float), 0, None)
    return np.where(np.isfinite(lengths), lengths, 0.0)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Set limits and two to four labelled ticks of a log axis, even where it spans less than a decade."""
    is_x = isinstance(axis, XAxis)
    (axis.axes.set_xlim if is_x else axis.axes.set_ylim)(low, high)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(np.arange(10, 100, 5) / 10)):
        ticks = [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) >= (2 if high >= 100 * low else 3):
            break
    axis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / 4)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda tick, _: _tick(tick)))


def _tick(tick: float) -> str:
    exponent = math.floor(math.log10(tick) + 1e-9)
    if -4 < exponent < 4:
        return f"{tick:g}"
    mantissa = f"{tick / 10.0**exponent:.2g}"
    return f"$10^{{{exponent}}}$" if mantissa == "1" else f"${mantissa}\\cdot10^{{{exponent}}}$"
