"""The README's picture: `python scripts/public_code.py [FOLDER]` draws FOLDER/peers.png from FOLDER/peers.csv."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd
from dvae_bench.bench.report.figures.style import (
    GREY,
    LINE,
    figure_with_legend,
    log_axis,
    marker,
    note,
    small,
    style,
    whiskers,
)
from dvae_bench.bench.report.palette import PLUGIN, colour, family
from dvae_bench.bench.report.verdicts import BIASED, UNBIASED
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STORED = Path(__file__).resolve().parent.parent / "results" / "reference" / "peers"
PACKAGES = {"storchastic": "Storchastic", "pyro-ppl": "Pyro", "reinmax": "reinmax"}
_GAP = 0.5  # between two methods, in lines
_INTERVAL = ["bias_rel", "bias_rel_lo", "bias_rel_hi"]


def draw(folder: Path) -> None:
    """Draw the picture of the folder's table into the folder."""
    with style():
        picture(pd.read_csv(folder / "peers.csv")).savefig(folder / "peers.png", dpi=200)


def picture(table: pd.DataFrame) -> Figure:
    """One panel, one line per implementation of a method that claims to be unbiased: public code, then ours.

    Filled: the largest bias over the tasks on which one was found. Hollow: no bias was found in the logits gradient
    on any task, and the largest of the smallest detectable biases. Exact sums over z are left out.
    """
    lines = _lines(table)
    last = lines["y"].max()
    key = [
        marker("biased (95 % interval)"),
        marker("no bias found: smallest detectable bias", mfc="white"),
        note("black: public code; colour: ours"),
    ]
    figure = figure_with_legend(LINE * (last + 3) + 0.5, key)
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="relative bias of the gradient", yticks=[], ylim=(last + 0.8, -1.8))
    axes.spines["left"].set_visible(False)
    log_axis(axes.xaxis, 10 ** math.floor(math.log10(lines["x"].min())), lines["x"].max() * 1.5)
    axes.axvline(1, color=GREY, lw=0.7, zorder=1)
    axes.text(0.97, -1.2, "as large as the gradient", ha="right", va="center", color=GREY, fontsize=small())
    between = lines.loc[lines["fails"], "y"].max() + (1 + _GAP) / 2
    axes.axhline(between, color=GREY, lw=0.5)
    for y, text in ((-1.2, "public code breaks its claim"), (between + 0.9, "public code keeps its claim")):
        axes.text(0.01, y, text, transform=axes.get_yaxis_transform(), va="center", style="italic", color=GREY)
    for _, line in lines.iterrows():
        _point(axes, line)
    return figure


def _lines(table: pd.DataFrame) -> pd.DataFrame:
    """The lines from top to bottom: methods whose public code breaks the claim first, each by the size shown."""
    claimed = table[(table["claim"] == UNBIASED) & (table["method"] != "exact")]
    claimed = claimed.assign(biased=claimed["verdict"] == BIASED)
    claimed["x"] = claimed["bias_rel"].where(claimed["biased"], claimed["sdb"])
    lines = claimed.sort_values(["biased", "x"]).groupby(["method", "estimator"]).tail(1)
    public = [family(name) == PLUGIN for name in lines["estimator"]]
    lines = lines.assign(public=public, fails=lines["method"].isin(claimed.loc[claimed["kept"] == "NO", "method"]))
    first = lines[lines["public"]].groupby("method")[["biased", "x"]].max()
    lines = lines.join(first.add_prefix("first_"), on="method")
    order = ["fails", "first_biased", "first_x", "method", "public", "x"]
    lines = lines.sort_values(order, ascending=False).reset_index(drop=True)
    return lines.assign(y=lines.index + _GAP * ((lines["method"] != lines["method"].shift()).cumsum() - 1))


def _point(axes: Axes, line: pd.Series) -> None:
    shade, x, y = colour(line["estimator"]), line["x"], line["y"]
    if line["biased"]:
        interval = (pd.Series([line[column]]) for column in ("bias_rel", "bias_rel_lo", "bias_rel_hi"))
        axes.errorbar(x, y, xerr=whiskers(*interval), fmt="o", color=shade, elinewidth=1)
    else:
        axes.plot(x, y, "o", mfc="white", mec=shade, mew=1)
    at, offset, side = (line["bias_rel_lo"], -6, "right") if line["biased"] else (x, 6, "left")
    axes.annotate(
        _name(line), (at, y), xytext=(offset, 0), textcoords="offset points", ha=side, va="center_baseline",
        color=shade, fontsize=small(), fontweight="bold" if line["public"] else "normal",
        bbox={"fc": "white", "ec": "none", "pad": 0.2},
    )  # fmt: skip


def _name(line: pd.Series) -> str:
    if not line["public"]:
        return str(line["estimator"])
    name = f"{line['method']} ({PACKAGES[line['code'].split()[0]]})"
    if line["kept"] == "yes" or line["biased"]:
        return name
    return f"{name}: only the gradient of the {line['other_groups'].removeprefix(BIASED + ': ')} is biased"


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else STORED)
