"""Figure: the ELBO during training, per step and per second."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..rows import SETTING, curve, setting_label
from .style import GREY, Look, estimator_handles, figure_with_legend, looks, set_title, whiskers, width

_HEIGHT = 2.1
_SPREAD_SHOWN, _RANGE_SHOWN = 1.5, 0.08  # below the best final ELBO: in spreads of the final ones, in whole ranges
_WORTH_CUTTING = 0.6  # the share of the whole range that a cut must hide


def plot(rows: pd.DataFrame) -> Figure | str:
    """Two panels per training task: against steps and against seconds. Test with intervals, training dotted.

    With several seeds: their mean and range. The steep start is cut off so that the final ELBOs can be distinguished.
    """
    test, train, seconds = (curve(rows, metric) for metric in ("elbo_test", "elbo_train", "seconds"))
    if test.empty and train.empty:
        return "no task was trained"
    curves = pd.concat([test.assign(split="test"), train.assign(split="train")])
    curves = curves.join(seconds["value"].rename("seconds")).reset_index()
    look = looks(rows)
    handles = [
        *estimator_handles(sorted(set(curves["estimator"])), look, lines=True),
        Line2D([], [], color=GREY, label="test, with interval or range of seeds"),
        Line2D([], [], color=GREY, ls=":", label="training"),
    ]
    settings = list(curves.groupby(SETTING))
    figure = figure_with_legend(_HEIGHT * len(settings), handles)
    grid = figure.subplots(len(settings), 2, sharey="row", squeeze=False)
    for (left, right), (setting, part) in zip(grid, settings, strict=True):
        set_title(left, setting_label(setting, rows["device"].nunique()), width() / 2 - 0.6)
        left.set(xlabel="step", ylabel="ELBO (nats)")
        _lines(left, part, "step", look)
        left.set_ylim(*_limits(part))
        timed = part[part["seconds"].notna()]
        if timed.empty:
            right.set_axis_off()
            continue
        right.set_xlabel("seconds of training")
        _lines(right, timed, "seconds", look)
    return figure


def _lines(axes: Axes, curves: pd.DataFrame, x: str, look: dict[str, Look]) -> None:
    for (name, split), line in curves.groupby(["estimator", "split"]):
        each = look[str(name)]
        if split == "train":
            axes.plot(line[x], line["value"], ls=":", color=each.colour, lw=0.9)
            continue
        error = whiskers(line["value"], line["lo"], line["hi"])
        axes.errorbar(
            line[x], line["value"], yerr=error, color=each.colour, ls=each.line,
            marker=each.marker, ms=3, mec="white", mew=0.3, elinewidth=0.7,
        )  # fmt: skip
    axes.margins(x=0.03)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _limits(curves: pd.DataFrame) -> tuple[float, float]:
    last = curves.sort_values("step", kind="stable").groupby(["estimator", "split"])["value"].last()
    least, most = curves["value"].min(), curves["value"].max()
    shown = max(_SPREAD_SHOWN * (last.max() - last.min()), _RANGE_SHOWN * (most - least))
    low = last.max() - shown if shown < (1 - _WORTH_CUTTING) * (most - least) else least
    high = max(most, low + 1e-6)
    margin = 0.08 * (high - low)
    return low - margin, high + margin
