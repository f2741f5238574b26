"""The page shows what the rows say, is complete in one file, and renders nothing from a stranger's folder as markup."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvae_bench.bench.page import write_page
from dvae_bench.bench.page.charts import charts, predictions
from dvae_bench.bench.page.leaderboard import leaderboard, work_normalised
from dvae_bench.bench.page.places import Places
from dvae_bench.bench.page.plane import pareto
from dvae_bench.bench.ranking.budget import Budget
from dvae_bench.bench.ranking.correlation import reference, sentences
from dvae_bench.bench.report import Study, placing, write_figures
from dvae_bench.bench.report.answers import KINDS as ANSWER_KINDS
from dvae_bench.bench.report.answers import answers
from dvae_bench.bench.report.columns import KINDS, ORDER, columns
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.reports import write_reports
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.latents import KINDS as LATENT_KINDS
from dvae_bench.estimators.names import UsageError

MOST = 5e6
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
    assert "rloo:n=4" in elements.json
    for word in (
        "a processor",
        "2.13.0",
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
    assert pareto([(3, 1, "c"), (1, 5, "a"), (2, 2, "b"), (2, 6, "x"), (4, 1, "y")]) == ["a", "b", "c"]


def numbers_of(page: str) -> Any:
    return json.loads(Elements(page).json)


def test_charts_are_json_of_every_setting_and_axis(tmp_path: Path, write_run: WriteRun) -> None:
    found = {chart.name: chart.views for chart in charts([study(write_run(tmp_path / "run"))])}
    assert {view["against"] for view in found["elbo"]} == {"step", "seconds of training", "evaluations"}
    assert {view["setting"] for view in found["plane"]} == {"bit-table", "category-table", "mnist-vae (mnist-5k)"}
    assert {view["run"] for views in found.values() for view in views} == {"run"}
    assert {point[0] for view in found["plane"] for point in view["points"] if point[-1]} == {"straight-through"}
    assert found["finishes"][0]["points"][0][0] == "straight-through", "best first"
    ((_, ms, shares), *rest) = found["phases"][0]["bars"]
    assert len(rest) == 3 and ms == pytest.approx(2.1) and sum(shares) == pytest.approx(1.0)


def test_it_says_whether_a_gradient_metric_predicts_the_training(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run(tmp_path / "run")
    (words,) = predictions(study(folder).rows)
    assert words.startswith("mnist-vae after ") and re.search(r"with var_encoder [-+][01]\.\d\d", words)
    page = write_page([study(folder)], tmp_path / "page.html").read_text(encoding="utf-8")
    assert {words, *sentences(reference())} <= set(Elements(page).texts), "this run's, and those of longer trainings"


def places(folder: Path) -> Places:
    run = study(folder)
    return Places(run, columns(run.rows), {(line.estimator, line.task): line.verdict for line in leaderboard(run)})


def test_every_kind_of_latent_has_a_place_of_its_own() -> None:
    """On the page and among the answers; only families of continuous latents are named by themselves."""
    discrete = set(LATENT_KINDS) - {"continuous"}
    assert discrete == set(KINDS) and {title for title, _ in KINDS.values()} <= set(ORDER)
    assert discrete < set(ANSWER_KINDS)


def test_a_latent_of_one_bit_is_one_bit(failed: Callable) -> None:
    cells = [failed("rloo", task, "ok", "") for task in ("bit", "two-layer")]
    rows = prepare(pd.DataFrame(cells).assign(value=1.0, lo=1.0, hi=1.0))
    assert [column.latent for column in columns(rows)] == ["1 bit", "2 bits"]


def test_the_answers_are_those_of_the_ranking(tmp_path: Path, write_run: WriteRun) -> None:
    """Error² is V/(V + 1) without a bias, and 1 - .49/(.49 + V) for straight-through.

    V is 62.5/61.5 times the stored variance, which is that within blocks of 62.5 draws.
    """
    found = places(write_run(tmp_path / "run"))
    trained, unbiased, every = found.at(2, "counts")["answers"]["Bits"]
    assert (unbiased["pick"], unbiased["tied"], unbiased["number"]) == ("rloo:n=4", [], "error 0.615")
    assert (every["pick"], every["number"]) == ("straight-through", "error 0.414")
    assert (trained["pick"], trained["number"]) == ("straight-through", "-110.0 nats")
    assert [answer["pick"] for answer in found.at(1, "counts")["answers"]["Bits"]] == ["", "", ""], "all cost two calls"
    names = [place[0] for place in found.at(2, "counts")["places"][0]["error"]]
    assert names == ["straight-through", "rloo:n=4", "disarm", "reinforce"], "another objective comes last"


def test_an_estimator_that_claims_a_bias_is_not_the_best_unbiased_on_the_page_or_the_terminal(
    tmp_path: Path, write_run: WriteRun, failed: Callable
) -> None:
    claim = failed("rloo:n=4", "bit-table", "ok", "")
    claim |= {"group": "cut", "metric": "claims_unbiased", "value": 0.0, "n": 1}
    folder = write_run(tmp_path / "run", {"claim": [claim]})
    card = places(folder).at(2, "counts")["answers"]["Bits"][1]
    line = next(each for each in answers(study(folder).rows) if each.question == "of the unbiased")
    assert card["pick"] == "disarm" and [card["pick"], *card["tied"]] == line.best


def trained(cell: dict[str, Any], elbo: float, evaluations: float) -> dict[str, list[dict[str, Any]]]:
    """The cells of a training in place of those of `write_run`. cell: a row of its estimator on mnist-vae."""
    cell = cell | {"data": "mnist-5k", "n": 1000, "se": 0.5}
    points = [
        cell | {"source": "steps", "step": step, "metric": metric, "value": value, "lo": value - 1, "hi": value + 1}
        for step in (100, 200)
        for metric, value in (("elbo_test", elbo), ("seconds", step * 0.01))
    ]
    cost = cell | {"source": "clock", "metric": "evaluations", "value": evaluations}
    return {f"{cell['estimator']}-vae-steps": points, f"{cell['estimator']}-vae-clock": [cost]}


def test_the_page_and_the_terminal_name_the_same_best_trained_with_the_same_ties(
    tmp_path: Path, write_run: WriteRun, failed: Callable
) -> None:
    """Not those beyond the budget, nor those of another objective, which `reinforce` has here; ties by least error."""
    ends = {"arm": (-80.0, 4.0), "reinforce": (-90.0, 2.0), "disarm": (-109.5, 2.0), "rloo:n=4": (-110.2, 2.0)}
    cells = {
        key: rows
        for name, (elbo, evaluations) in ends.items()
        for key, rows in trained(failed(name, "mnist-vae", "ok", ""), elbo, evaluations).items()
    }
    folder = write_run(tmp_path / "run", cells)
    card = places(folder).at(2, "counts")["answers"]["Bits"][0]
    best = {line.question: line.best for line in answers(study(folder).rows) if "mnist-vae" in line.setting}
    assert [card["pick"], *card["tied"]] == ["straight-through", "disarm", "rloo:n=4"]
    assert best == {
        "after 200 steps": best["after 2 s of training"],
        "after 2 s of training": [card["pick"], *card["tied"]],
    }
    assert card["note"].count("straight-through trains best") == 2 and "nats after 200 steps" in card["note"]
    dear = answers(study(folder).rows, Budget(4))
    assert {line.best[0] for line in dear if "mnist-vae" in line.setting} == {"arm"}
    assert places(folder).at(4, "counts")["answers"]["Bits"][0]["pick"] == "arm"


def test_a_report_reads_the_candidates_of_a_toy_once(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, candidates = [], placing.candidates
    monkeypatch.setattr(placing, "candidates", lambda rows: read.append(1) or candidates(rows))
    run = study(write_run(tmp_path / "run"))
    write_figures(run.rows, tmp_path / "figures", ["bias"])
    answers(run.rows)
    write_page([run], tmp_path / "page.html")
    assert len(read) == sum(not column.trained for column in columns(run.rows)) > 0


def test_the_page_has_the_ranking_of_every_budget_and_no_unsupported_row(
    tmp_path: Path, write_run: WriteRun, failed: Callable
) -> None:
    folder = write_run(tmp_path / "run", {"x": [failed("rebar", "bit-table", "unsupported", "no bits")]})
    page = write_page([study(folder)], tmp_path / "a.html").read_text()
    (run,) = numbers_of(page)["runs"]
    assert len(run["at"]) == 12 and [column["latent"] for column in run["columns"]] == [
        "6 bits",
        "2×4 classes",
        "200 bits",
    ]
    names = {line["estimator"] for line in run["lines"]}
    for index, column in enumerate(run["columns"]):
        assert column["without"] == len(names - {x["estimator"] for x in run["lines"] if x["column"] == index})
    assert len(run["lines"]) == 12 and "no bits: 1" in page


def test_a_strangers_folder_injects_nothing(tmp_path: Path, write_run: WriteRun, hostile_run: Hostile) -> None:
    clean = Elements(write_page([study(write_run(tmp_path / "run"))], tmp_path / "a.html").read_text())
    folder, evil, closing = hostile_run
    found = Elements(write_page([study(folder)], tmp_path / "b.html").read_text())
    assert found.tags.count("script") == clean.tags.count("script") and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert f"mine:kind={closing}" in json.loads(found.json)["estimators"], "its script makes text of it"
    assert any(evil in text for text in found.texts), "shown as text"


def test_the_policy_allows_the_pages_own_scripts_only(tmp_path: Path, write_run: WriteRun) -> None:
    page = write_page([study(write_run(tmp_path / "run"))], tmp_path / "a.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    words = policy[1].replace("&#39;", "'")
    assert words.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-inline'; script" not in words
    scripts = re.search(r"script-src ([^;]*);", words)
    assert scripts is not None and re.fullmatch(r"('sha256-[\w+/]{43}=' ?){3}", scripts[1])


def test_failed_cells_are_red_with_their_reason(tmp_path: Path, write_run: WriteRun, failed: Callable) -> None:
    folder = write_run(tmp_path / "run", {"x": [failed("rebar", "bit-table", "error", "Traceback\n  boom")]})
    line = next(line for line in leaderboard(study(folder)) if line.estimator == "rebar")
    assert (line.state, line.verdict, line.reason) == ("failed", "error", "boom")
    page = write_page([study(folder)], tmp_path / "a.html").read_text()
    assert '<details class="failed">' in page and "1 of 13 lines of the leaderboard failed" in page


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
    assert "base → new" in page and "0 worse" in page
    assert {path.relative_to(tmp_path / "out").parts[0] for path in files} == {"run-1", "run-2"}
    numbers = numbers_of(page)
    assert [run["label"] for run in numbers["runs"]] == ["base", "new"]
    assert numbers["comparisons"] == [] and "Nothing differs by more than the margins" in page
    sides = [[view["setting"] for view in numbers["charts"]["plane"] if view["run"] == run] for run in ("base", "new")]
    assert sides[0] == sides[1]


@pytest.mark.usefixtures("no_figures")
def test_runs_of_the_same_name_are_told_apart(tmp_path: Path, write_run: WriteRun) -> None:
    folders = [write_run(tmp_path / side / "run") for side in ("a", "b")]
    page = write_reports(folders, tmp_path / "out")[-1].read_text()
    assert f"{folders[0]} → {folders[1]}" in page
