"""One look for all figures of a report: legible in print, a page high at most, and without any formula text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..palette import FAMILY_COLOURS, PLUGIN, family
from .titles import wrapped

STYLES = {"paper": (7.2, 3.5, 9.0), "notebook": (8.0, 4.2, 11.0), "talk": (11.0, 6.0, 6.2)}
"""inches: two columns wide, one column wide, and the height of a page or slide, which no figure exceeds."""
GREY, PALE = "0.35", "0.78"
LINE = 0.135  # inches between two names at the type of "paper", as all lengths in inches below
_LEGEND_LINE, _HANDLE, LETTER = 0.16, 0.42, 0.058
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MAKE: ContextVar[Callable[..., Figure]] = ContextVar("_MAKE", default=Figure)


def style(name: str = "paper", columns: int = 2) -> AbstractContextManager[None]:
    """The matplotlib settings of every figure, for a `with` block that leaves the caller's own settings alone.

    name: one of STYLES, with the font sizes of seaborn's context of that name; 7 pt or more. columns: 2 or 1, the
    width on the page; the height of the figure size is that of the page.
    """
    return mpl.rc_context(
        sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.92", "grid.linewidth": 0.5})
        | sns.plotting_context(name, font_scale=0.85)
        | {
            "figure.figsize": (STYLES[name][2 - columns], STYLES[name][2]),
            "pdf.fonttype": 42,
            "svg.fonttype": "path",
            "svg.hashsalt": "dvae-bench",
            "figure.dpi": 150,
            "savefig.dpi": 150,
            "font.family": "DejaVu Sans",
            "text.parse_math": False,
            "axes.linewidth": 0.7,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.formatter.use_mathtext": False,
            "lines.markersize": 4.2,
            "lines.linewidth": 1.1,
            "legend.frameon": False,
            "legend.handletextpad": 0.4,
            "legend.columnspacing": 1.2,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
        }
    )


def width() -> float:
    """The width in inches of a figure in the current style."""
    return float(mpl.rcParams["figure.figsize"][0])


def page() -> float:
    """The greatest height of a figure in the current style, in inches at the type of "paper"."""
    return float(mpl.rcParams["figure.figsize"][1]) / scale()


def scale() -> float:
    """The font size of the current style over that of "paper"."""
    return float(mpl.rcParams["font.size"]) / float(sns.plotting_context("paper", font_scale=0.85)["font.size"])


def small() -> float:
    """The smallest size of type, in points: 7 or more."""
    return float(mpl.rcParams["xtick.labelsize"])


def letters(inches: float) -> int:
    """How many letters fit these inches of the figure."""
    return int(inches / (LETTER * scale()))


def side_by_side(panels: int, inches: float) -> int:
    """How many panels of at least these inches (at the type of "paper") stand side by side."""
    return max(1, min(panels, int(width() / (inches * scale()) + 1e-6)))


def legend_height(handles: Sequence[Artist]) -> float:
    """The inches that a legend takes below the panels, at the type of "paper"."""
    return _LEGEND_LINE * math.ceil(len(handles) / _legend_columns(handles)) + 0.12 if handles else 0.0


def new_figure(height: float) -> Figure:
    """A figure of the style's width and `height` inches, of the class that `made_as` gives."""
    figure = _MAKE.get()(figsize=(width(), height), layout="constrained")
    FigureCanvasAgg(figure)  # keeps its renderer; without a canvas every text that is measured makes one of 6 MB
    return figure


def lay_out(figure: Figure) -> None:
    """Place the panels for good. Their places are rounded: the solver's last digits differ between processes."""
    figure.draw_without_rendering()
    if figure.get_layout_engine() is None:  # the caller's Axes stay where they are
        return
    figure.set_layout_engine(None)
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6).tolist(), which="original")


@contextmanager
def made_as(make: Callable[..., Figure]) -> Iterator[None]:
    """For a `with` block: figures are made by `make` instead of by `Figure`."""
    token = _MAKE.set(make)
    try:
        yield
    finally:
        _MAKE.reset(token)


def figure_with_legend(height: float, handles: Sequence[Artist]) -> Figure:
    """A figure of the style's width: panels of total `height` inches (at the type of "paper") above a legend."""
    inches = min(height + legend_height(handles), page()) * scale()
    figure = new_figure(inches)
    if handles:
        figure.legend(handles=list(handles), loc="outside lower center", ncols=_legend_columns(handles))
    return figure


def _legend_columns(handles: Sequence[Artist]) -> int:
    """As many columns as fit the width; matplotlib fills a legend column by column."""
    lengths = [len(str(handle.get_label())) for handle in handles]
    for columns in range(len(lengths), 1, -1):
        widths = [_HANDLE + LETTER * max(part) for part in np.array_split(lengths, columns)]
        if sum(widths) * scale() < width():
            return columns
    return 1


def family_key(estimators: Sequence[str]) -> list[Artist]:
    """One handle for each family of these estimators; plugins need none, as they stand out."""
    found = {family(name) for name in estimators} - {PLUGIN}
    return [
        Line2D([], [], ls="", marker="o", color=FAMILY_COLOURS[name], label=name.replace("_", " "))
        for name in FAMILY_COLOURS
        if name in found
    ]


def marker(label: str, symbol: str = "o", **look: Any) -> Line2D:
    """A handle that explains a marker, in grey."""
    return Line2D([], [], ls="", marker=symbol, **({"color": GREY} | look), label=label)


def note(text: str) -> Line2D:
    """A line of the legend without a symbol."""
    return Line2D([], [], ls="", label=text)


def rows_that_fit(wanted: int, inches: float, handles: Sequence[Artist] = ()) -> int:
    """How many rows of panels of this height fit the page above the legend and a note; at least one."""
    room = page() - legend_height([*handles, note("x" * 60)])
    return max(1, min(wanted, int(room / inches)))


def not_shown(count: int, what: str = "task", choose: str = "-t") -> list[Artist]:
    """The note that counts what does not fit the page, if anything."""
    return [note(f"not shown: {count} more {what}{'s' * (count > 1)}; choose with {choose}")] if count > 0 else []


def set_title(axes: Axes, label: str, inches: float, others: int = 0) -> None:
    """Set the label above a panel of this width, in as many lines as it needs; others: how many are drawn in grey."""
    if others:
        label = f"{label} ({others} other{'s' * (others > 1)} in grey)"
    axes.set_title(wrapped(label, letters(inches) - 2))


def whiskers(value: pd.Series, lo: pd.Series, hi: pd.Series) -> np.ndarray:
    """[2, n] lengths for `errorbar`; 0 where a value has no finite interval."""
    lengths = np.clip(np.stack([value - lo, hi - value]).astype(float), 0, None)
    return np.where(np.isfinite(lengths), lengths, 0.0)


def log_axis(axis: Axis, low: float, high: float, most: int = 4) -> None:
    """Set limits and two to `most` labelled ticks of a log axis, even where it spans less than a decade."""
    is_x = isinstance(axis, XAxis)
    (axis.axes.set_xlim if is_x else axis.axes.set_ylim)(low, high)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(np.arange(10, 100, 5) / 10)):
        ticks = [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) >= (2 if high >= 100 * low else 3):
            break
    every = math.ceil(len(ticks) / most)
    first = next((i for i, tick in enumerate(ticks) if math.log10(tick) % 1 == 0), 0)  # a power of ten stays
    axis.set_major_locator(FixedLocator(ticks[first % every :: every]))
    axis.set_minor_locator(NullLocator())
    plain = all(-4 < _exponent(tick) < 4 for tick in ticks)  # otherwise powers of ten for all of them
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}" if plain else _power(tick)))


def _exponent(tick: float) -> int:
    return math.floor(math.log10(tick) + 1e-9)


def _power(tick: float) -> str:
    exponent = _exponent(tick)
    mantissa = f"{tick / 10.0**exponent:.2g}"
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"
