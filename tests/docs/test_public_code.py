"""The README's picture of public code holds every stored implementation, in half a page of legible type."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pandas as pd
import pytest
from dvae_bench.bench.report.figures.style import STYLES, style
from dvae_bench.bench.report.verdicts import BIASED
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from public_code import STORED, picture

TABLE = pd.read_csv(STORED / "peers.csv")
CLAIMED = TABLE[(TABLE["claim"] == "unbiased") & (TABLE["method"] != "exact")]


@pytest.fixture(scope="module")
def drawn() -> Iterator[Figure]:
    with style():
        figure = picture(TABLE)
        figure.draw_without_rendering()
        yield figure


def marks(figure: Figure) -> dict[tuple[str, float], bool]:
    """(colour, relative bias) of each mark -> whether it is filled."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return {(to_hex(line.get_color()), float(line.get_xdata()[0])): line.get_mfc() != "white" for line in lines}


def test_filled_is_the_largest_bias_found_and_hollow_the_largest_that_no_test_detects(drawn: Figure) -> None:
    found = CLAIMED[CLAIMED["verdict"] == BIASED].groupby("estimator")["bias_rel"].max()
    kept = CLAIMED[~CLAIMED["estimator"].isin(found.index)].groupby("estimator")["sdb"].max()
    shown = [(x, filled) for (_, x), filled in marks(drawn).items()]
    assert sorted(shown) == sorted([(x, True) for x in found] + [(x, False) for x in kept])
    assert {colour for (colour, _), filled in marks(drawn).items() if filled} == {"#000000"}, "none of ours is biased"


def test_what_breaks_its_claim_stands_above_what_keeps_it(drawn: Figure) -> None:
    names = [text.get_text() for text in drawn.axes[0].texts if text.get_fontweight() == "bold"]
    broken = CLAIMED.loc[CLAIMED["kept"] == "NO", "method"].nunique()
    public = CLAIMED.loc[CLAIMED["code"] != "dvae-bench", ["method", "estimator"]].drop_duplicates()
    assert len(names) == len(public)
    for place, name in enumerate(names):
        method = name.partition(" (")[0]
        assert (place < broken) == (CLAIMED.loc[CLAIMED["method"] == method, "kept"] == "NO").any(), name


def test_it_is_half_a_page_of_type_that_does_not_overlap(drawn: Figure) -> None:
    width, height = drawn.get_size_inches()
    assert width == STYLES["paper"][0] and height <= STYLES["paper"][2] / 2
    texts = [text for text in drawn.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 7
    boxes = {text.get_text(): text.get_window_extent() for text in drawn.axes[0].texts}
    assert [pair for pair in itertools.combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []
    assert all(drawn.bbox.x0 <= box.x0 and box.x1 <= drawn.bbox.x1 for box in boxes.values())


def test_the_stored_picture_has_the_size_of_the_table_s(drawn: Figure) -> None:
    header = (STORED / "peers.png").read_bytes()[16:24]
    assert struct.unpack(">II", header) == tuple(int(200 * inches) for inches in drawn.get_size_inches())
