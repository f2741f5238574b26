"""The page shows what the rows say, is complete in one file, and renders nothing from a stranger's folder as markup."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dvae_bench.bench.page import write_page
from dvae_bench.bench.page.charts import charts, data
from dvae_bench.bench.page.leaderboard import leaderboard, work_normalised
from dvae_bench.bench.page.plane import pareto
from dvae_bench.bench.report import Study
from dvae_bench.bench.reports import write_reports
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from markupsafe import escape

MOST = 8e6
WriteRun = Callable[..., Path]
Hostile = tuple[Path, str, str]


class Elements(HTMLParser):
    """What a browser would make of a page: its elements and handlers, texts by element, and JSON."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.json = ""
        self._in_json = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        self._in_json = ("type", "application/json") in attributes

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.json += data
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def handle_endtag(self, tag: str) -> None:
        self._in_json = False


def test_each_hyperparameter_says_what_it_is(tmp_path: Path, write_run: WriteRun) -> None:
    page = Elements(write_page([study(write_run(tmp_path / "run"))], tmp_path / "page.html").read_text())
    assert "draws of z; default 2; a whole number >= 2" in page.texts


def study(folder: Path) -> Study:
    return Study.of(Store.open(folder), folder.name)


def test_the_page_is_whole_small_and_the_same_every_time(tmp_path: Path, write_run: WriteRun) -> None:
    run = study(write_run(tmp_path / "run"))
    pages = [write_page([run], tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1] and len(pages[0]) < MOST
    elements = Elements(pages[0].decode())
    assert not [value for name, value in elements.attributes if name == "src"], "nothing is fetched"
    for word in (
        "rloo:n=4",
        "a processor",
        "2.13.0",
        "n = 4,000",
        "The score-function estimator with a leave-one-out baseline.",
    ):
        assert any(word in text for text in elements.texts), word


def test_the_leaderboard_has_every_number_with_interval_and_n(tmp_path: Path, write_run: WriteRun) -> None:
    lines = {(line.estimator, line.task): line for line in leaderboard(study(write_run(tmp_path / "run")))}
    assert len(lines) == 12
    toy, model = lines["disarm", "bit-table"], lines["disarm", "mnist-vae"]
    assert (toy.verdict, toy.state) == ("unbiased", "unbiased")
    assert (toy.numbers["variance"].text, toy.numbers["variance"].n) == ("0.800 [0.720, 0.880]", 4000)
    assert toy.numbers["time"].n == 30 and toy.numbers["work"].order == pytest.approx(4.0)
    assert model.numbers["elbo"].text == "-120.0 [-121.0, -119.0]" and model.numbers["evaluations"].order == 2
    assert lines["straight-through", "bit-table"].state == "biased"
    assert (toy.latent, model.latent) == ("bernoulli 6", "bernoulli 200"), "of the task, not all that it supports"


def test_work_normalised_variance_adds_log_half_widths_in_quadrature() -> None:
    value, lo, hi = work_normalised((2.0, 1.0, 4.0), (3.0, 3.0, 3.0))
    assert (value, lo, hi) == pytest.approx((6.0, 3.0, 12.0))
    assert work_normalised((2.0, 1.0, 4.0), (3.0, 1.5, 6.0))[2] == pytest.approx(6 * 2 ** math.sqrt(2))
    assert math.isnan(work_normalised((0.0, 0.0, 0.0), (3.0, 1.5, 6.0))[1])


def test_the_front_holds_what_no_other_point_beats_in_both() -> None:
    assert pareto([(3, 1), (1, 5), (2, 2), (2, 6), (4, 1)]) == [(1, 5), (2, 2), (3, 1)]


def test_charts_are_json_of_every_setting_and_axis(tmp_path: Path, write_run: WriteRun) -> None:
    found = data(charts([study(write_run(tmp_path / "run"))]))
    json.dumps(found, allow_nan=False)
    assert {view["against"] for view in found["elbo"]} == {"step", "seconds of training", "evaluations"}
    assert {view["setting"] for view in found["plane"]} == {"bit-table", "category-table", "mnist-vae (mnist-5k)"}
    assert {view["run"] for views in found.values() for view in views} == {"run"}
    drawn = [trace for view in found["plane"] for trace in view["traces"] if "text" in trace]
    hollow = {trace["name"] for trace in drawn if trace["marker"]["symbol"].endswith("-open")}
    assert hollow == {"straight-through"} and found["phases"][0]["lines"] == 4


def test_a_strangers_folder_injects_nothing(tmp_path: Path, write_run: WriteRun, hostile_run: Hostile) -> None:
    clean = Elements(write_page([study(write_run(tmp_path / "run"))], tmp_path / "a.html").read_text())
    folder, evil, closing = hostile_run
    found = Elements(write_page([study(folder)], tmp_path / "b.html").read_text())
    assert found.tags.count("script") == clean.tags.count("script") and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    names = {trace["name"] for view in json.loads(found.json)["plane"] for trace in view["traces"]}
    assert f"mine:kind={escape(closing)}" in names, "plotly.js reads tags, and is given none"
    assert any(evil in text for text in found.texts), "shown as text"


def test_the_policy_allows_the_pages_own_scripts_only(tmp_path: Path, write_run: WriteRun) -> None:
    page = write_page([study(write_run(tmp_path / "run"))], tmp_path / "a.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    words = policy[1].replace("&#39;", "'")
    assert words.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-inline'; script" not in words
    scripts = re.search(r"script-src ([^;]*);", words)
    assert scripts is not None and re.fullmatch(r"('sha256-[\w+/]{43}=' ?){4}", scripts[1])


def test_failed_cells_are_red_with_their_reason(tmp_path: Path, write_run: WriteRun, failed: Callable) -> None:
    folder = write_run(tmp_path / "run", {"x": [failed("rebar", "bit-table", "error", "Traceback\n  boom")]})
    line = next(line for line in leaderboard(study(folder)) if line.estimator == "rebar")
    assert (line.state, line.verdict, line.reason) == ("failed", "error", "boom")
    page = write_page([study(folder)], tmp_path / "a.html").read_text()
    assert '<tr class="failed">' in page and "1 of 13 lines of the leaderboard failed" in page


@pytest.mark.usefixtures("no_figures")
def test_empty_and_partial_runs_say_what_is_missing(tmp_path: Path, failed: Callable) -> None:
    empty = Store(tmp_path / "empty")
    empty.cells.mkdir(parents=True)
    page = write_reports([empty.folder], None)[-1].read_text()
    assert "empty holds no measured cell: run" in page and "No cell was measured." in page
    empty.write("a", "error", {}, [failed("rloo", "bit-table", "error", "boom")])
    page = write_reports([empty.folder], None)[-1].read_text()
    for words in ("holds no context.json", "1 of 1 lines", "Not drawn: no task was trained", "Nothing is known."):
        assert words in page


@pytest.mark.usefixtures("no_figures")
def test_two_runs_are_compared(tmp_path: Path, write_run: WriteRun) -> None:
    folders = [write_run(tmp_path / name) for name in ("base", "new")]
    with pytest.raises(UsageError, match="give one with -o"):
        write_reports(folders, None)
    *files, index = write_reports(folders, tmp_path / "out")
    page = index.read_text()
    assert "base → new" in page and "0 worse" in page and page.count("<tr class=") >= 24
    assert {path.relative_to(tmp_path / "out").parts[0] for path in files} == {"run-1", "run-2"}
    views = json.loads(Elements(page).json)["plane"]
    sides = [[view for view in views if view["run"] == run] for run in ("base", "new")]
    assert [[view["setting"] for view in side] for side in sides] == [[view["setting"] for view in sides[0]]] * 2
    looks = [{trace["name"]: trace["marker"] for view in side for trace in view["traces"]} for side in sides]
    assert looks[0] == looks[1], "an estimator looks the same in both"


@pytest.mark.usefixtures("no_figures")
def test_runs_of_the_same_name_are_told_apart(tmp_path: Path, write_run: WriteRun) -> None:
    folders = [write_run(tmp_path / side / "run") for side in ("a", "b")]
    page = write_reports(folders, tmp_path / "out")[-1].read_text()
    assert f"{folders[0]} → {folders[1]}" in page
