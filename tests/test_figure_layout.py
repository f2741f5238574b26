"""Every figure is a page high at most, with legible type that does not overlap, whatever the number of estimators."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from dvae_bench.bench.report.figures.points import LEADER
from dvae_bench.bench.report.figures.style import STYLES, log_axis, style
from dvae_bench.bench.report.figures.write import NARROW
from dvae_bench.bench.report.palette import FAMILY_COLOURS, OTHERS, PLUGIN, family
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.report.view import View
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

ALL = View()
LEAST_TYPE = 7.0  # points
NAMES = [*sorted(ESTIMATORS.builtin), "mine"]
SWEPT = [f"gumbel-softmax:tau={tau:.3f}" for tau in np.linspace(0.1, 3, 1000)]
FIGURES = ("bias", "families", "variance-cost", "peers", "sweeps", "training", "kl", "phases", "samples")
PHASES = ("encode", "sample", "objective", "gradient", "objective_backward", "encoder_backward", "update")


def rows_of(names: list[str]) -> pd.DataFrame:
    """Rows of two toys and two training tasks for these estimators, as if measured; the same every time."""
    random, rows = np.random.default_rng(0), []

    def add(value: float, **given: object) -> None:
        numbers = {"value": value, "lo": 0.9 * value, "hi": 1.1 * value, "n": 100, "se": value / 20}
        blank = {"data": "", "device": "cpu", "seed": 0, "step": 0, "group": "", "unit": "", "blocks": None}
        rows.append(blank | numbers | {"status": "ok", "reason": "", "direction": "lower", "collector": ""} | given)

    for name, task in itertools.product(names, ("bit-table", "a-toy-of-a-long-name:parameter=a-long-value")):
        cell, bias = {"estimator": name, "task": task, "group": "cut", "source": "draws"}, 10 ** random.uniform(-4, 0)
        values = {"bias_rel": bias, "bias_p": 1e-9 if bias > 0.1 else 0.5, "bias_sdb": 3 * bias, "gradient_norm": 1.0}
        for metric, value in (values | {"var_total": 10 ** random.uniform(-2, 3)}).items():
            add(value, **cell, metric=metric)
        add(10 ** random.uniform(0, 2), **cell | {"source": "clock", "group": ""}, metric="time_total")
    for name, task in itertools.product(names, ("mnist-vae", "mnist-vae:arch=categorical")):
        cell, end = {"estimator": name, "task": task, "data": "mnist"}, -90 - 40 * random.random()
        for step in (50, 100, 150):
            at = cell | {"source": "steps", "step": step}
            add(end - 50 * np.exp(-step / 50), **at, metric="elbo_test")
            add(25 * random.random(), **at, metric="kl_test")
            add(10 ** random.uniform(0, 6), **at, metric="var_encoder")
            add(step / 100, **at, metric="seconds")
        for kind in ("original", "reconstruction", "sample") if names is NAMES else ():
            add(8, **at, metric=f"images_{kind}")
            rows[-1]["blocks"] = [0.0] * (8 * 784)
        for phase in (*PHASES, "total"):
            add(100 + 900 * random.random(), **cell, source="clock", metric=f"time_{phase}")
    return prepare(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def measured() -> dict[str, pd.DataFrame]:
    return {"73 estimators": rows_of(NAMES), "1000 values": rows_of(SWEPT)}


def plotted(rows: pd.DataFrame, name: str, look: str, columns: int, view: View = ALL) -> Figure | str:
    with style(look, 1 if name in NARROW else columns):
        figure = import_module(f"dvae_bench.bench.report.figures.{name.replace('-', '_')}").plot(rows, view)
        if isinstance(figure, Figure):
            figure.draw_without_rendering()
    return figure


def faults(figure: Figure, height: float) -> Iterator[str]:
    """Each text that is too small, outside the figure or over another one, and a figure higher than the page."""
    if figure.get_figheight() > height + 1e-6:
        yield f"{figure.get_figheight():.1f} inches high, the page has {height}"
    shown = [(text, Text.get_window_extent(text)) for text in _texts(figure) if text.get_text().strip()]
    for text, box in shown:
        if text.get_fontsize() < LEAST_TYPE:
            yield f"{text.get_text()!r} is set in {text.get_fontsize():.1f} pt"
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
            yield f"{text.get_text()!r} leaves the figure"
    for (one, a), (other, b) in itertools.combinations(shown, 2):
        shared = Bbox.intersection(a, b)
        if shared is not None and min(shared.width, shared.height) > 0.02 * figure.dpi:
            yield f"{one.get_text()!r} and {other.get_text()!r} overlap"
    for axes in figure.axes:
        leaders = [line for line in axes.lines if line.get_linewidth() == LEADER]
        ways = [Path(axes.transData.transform(line.get_xydata())) for line in leaders]
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in axes.texts if text.get_visible()]
        for way, (name, box) in itertools.product(ways, boxes):
            if way.intersects_bbox(box.padded(-0.01 * figure.dpi)):  # its own line ends at the edge
                yield f"{name!r} covers the line of a name"


def _texts(figure: Figure) -> Iterator[Text]:
    """Every text that is drawn: those of ticks only within the limits."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from (text for text in axes.texts if text.get_visible())
        if not axes.axison:
            continue
        yield axes._left_title  # type: ignore[attr-defined]  # all titles are there
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            yield axis.label
            for tick in axis.get_major_ticks():
                if tick.label1.get_visible() and min(limits) <= tick.get_loc() <= max(limits):
                    yield tick.label1


CASES = [
    *(("73 estimators", name, columns) for name in FIGURES for columns in (1, 2)),
    *(("1000 values", name, 1) for name in ("bias", "families", "variance-cost", "sweeps", "training", "phases")),
]


@pytest.mark.parametrize(("of", "name", "columns"), CASES)
def test_figures_are_legible_on_a_page(measured: dict[str, pd.DataFrame], of: str, name: str, columns: int) -> None:
    figure = plotted(measured[of], name, "paper", columns)
    if isinstance(figure, str):
        assert name in ("peers", "sweeps"), figure
        return
    assert list(faults(figure, STYLES["paper"][2])) == []
    shown = [text.get_visible() for axes in figure.axes for text in axes.texts]
    if name == "variance-cost":  # among 1,000 points, not all of eight names of 22 letters find room in a panel
        assert all(shown) if of == "73 estimators" else sum(shown) >= 0.8 * len(shown)


def test_the_measure_of_legibility_finds_each_fault() -> None:
    with style():
        figure = Figure(figsize=(4, 12))
        for y in (0.5, 0.505):
            figure.text(0.5, y, "over each other")
        figure.text(0.95, 0.2, "outside of the figure")
        figure.text(0.1, 0.1, "tiny", fontsize=5)
        found = list(faults(figure, 9.0))
    assert len(found) == 4 and [any(word in fault for fault in found) for word in ("high", "leaves", "pt", "overlap")]


def test_plugins_stand_out_and_the_others_are_counted() -> None:
    figure = plotted(rows_of(NAMES), "bias", "paper", 1, View(labels={"mine": "Ours"}, most=6))
    assert isinstance(figure, Figure)
    labels = {label.get_text(): label for label in figure.axes[0].get_yticklabels()}
    assert len(labels) == 7 and f"{len(NAMES) - 6} others" in labels
    assert labels["Ours"].get_fontweight() == "bold" and labels["Ours"].get_color() == FAMILY_COLOURS[PLUGIN]
    assert {"rloo", "straight-through"} <= set(labels), "what papers compare with"
    few = View(["rloo", "arm", "disarm"], ["bit-table"], order="name")
    by_name = plotted(few.select(rows_of(NAMES)), "bias", "paper", 1, few)
    assert isinstance(by_name, Figure)
    assert [label.get_text() for label in by_name.axes[0].get_yticklabels()] == ["arm", "disarm", "rloo"]


def test_estimators_asked_for_are_named_in_the_plane() -> None:
    view = View(["rloo", "arm", "disarm", "nvil", "rebar", "reinmax"], ["bit-table"])
    figure = plotted(view.select(rows_of(NAMES)), "variance-cost", "paper", 1, view)
    assert isinstance(figure, Figure)
    assert {text.get_text() for text in figure.axes[0].texts if text.get_visible()} == set(view.estimators)
    assert "in grey" not in figure.axes[0].get_title(loc="left")


def test_ticks_of_a_short_log_axis_are_at_powers_of_ten() -> None:
    axes = Figure().subplots()
    log_axis(axes.xaxis, 0.66, 3.1)
    assert list(axes.get_xticks()) == [1.0, 2.0]


MACHADO = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira & Fernandes 2009: linear RGB as those without one kind of cone see it."""
JUST_NOTICEABLE = 2.3  # CIE76 difference of two colours (Mahy et al. 1994)


@pytest.mark.parametrize("vision", MACHADO)
def test_no_two_families_look_alike(vision: str) -> None:
    colours = [*FAMILY_COLOURS.values(), OTHERS]
    assert len(FAMILY_COLOURS) == 11 and {family(name) for name in ESTIMATORS.builtin} == {*FAMILY_COLOURS} - {PLUGIN}
    seen = [_lab(np.asarray(MACHADO[vision]) @ _linear(colour)) for colour in colours]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 4 * JUST_NOTICEABLE


def _linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
