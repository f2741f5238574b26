"""The page of published numbers: none is left out, and only full runs of verified numbers are compared."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from documents import DOCS
from dvae_bench.bench import protocols
from dvae_bench.bench.protocols.excerpt import only
from dvae_bench.bench.protocols.reproduce import Reproduction
from dvae_bench.bench.rows import row
from pages import along, published

EXACT = ("ZGR", "ReinMax", "MVE")


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str]]:
    return published.compared()


def test_every_published_number_of_every_protocol_has_a_line(lines: list[dict[str, str]]) -> None:
    every = [
        (protocol.name, method.method, setting)
        for protocol in map(protocols.load, protocols.names())
        for method, setting in protocol.lines()
        if setting in method.published
    ]
    assert [(line["protocol"], line["method"], line["setting"]) for line in lines] == every


def test_only_full_runs_of_verified_numbers_get_a_difference(lines: list[dict[str, str]]) -> None:
    compared = [line for line in lines if line["verdict"].split(";")[0] in (published.SAME, published.DIFFERENT)]
    assert {line["length"] for line in compared} == {"full"}
    assert {protocols.load(line["protocol"]).numbers for line in compared} == {"verified"}
    others = [line for line in lines if line not in compared]
    assert {line["difference"] for line in others} == {"–"}
    assert any("scaled down" in line["verdict"] for line in others)
    assert any("recalled" in line["verdict"] for line in others)


def test_the_exact_numbers_of_bias_and_variance_agree(lines: list[dict[str, str]]) -> None:
    exact = [line for line in lines if line["protocol"] == "hooper-bias-variance" and line["method"].startswith(EXACT)]
    assert len(exact) == 54 and {line["verdict"] for line in exact} == {published.SAME}


def test_the_page_has_all_tables(lines: list[dict[str, str]]) -> None:
    page = (DOCS / "published.md").read_text(encoding="utf-8")
    others = published.elsewhere()
    reached = along.points(others)
    on_the_way = 2 * reached["method"].nunique()
    assert page.count("\n| ") == len(lines) + len(others) - len(reached) + on_the_way + 6


def test_the_table_starts_with_what_was_measured_at_full_length() -> None:
    page = (DOCS / "published.md").read_text(encoding="utf-8")
    table = page.partition("## Numbers of protocols")[2].partition("\n## ")[0]
    _, _, *rows = (line for line in table.splitlines() if line.startswith("| "))
    lengths = [row.split(" | ")[5] for row in rows]
    kinds = [0 if each == "full" else 2 if each == "–" else 1 for each in lengths]
    assert kinds == sorted(kinds) and set(kinds) == {0, 1, 2}


def test_epochs_on_the_way_are_those_of_the_run(lines: list[dict[str, str]]) -> None:
    """The last one is that of the table; the first one of the authors is not among ours, which start at 10."""
    reached = along.points(published.elsewhere()).set_index(["method", "epoch"])["ours"]
    (zgr,) = (line for line in lines if line["protocol"] == "hooper-2026-mnist" and line["theirs"] == "98.29 ± 0.64")
    assert f"{reached['ZGR', 500]:.2f}" == zgr["ours"]
    assert reached["ZGR"].index.tolist() == [10, 20, 50, 100, 200, 350, 500]
    assert reached["ZGR"].is_monotonic_decreasing


def test_a_method_that_has_not_come_as_far_has_a_gap() -> None:
    reached = along.points(published.elsewhere())
    half = reached[(reached["method"] != "MVE") | (reached["epoch"] < 200)]
    (row,) = (line for line in along.section(half).splitlines() if line.startswith("|  | ours") and "–" in line)
    assert row.count("–") == 3
    assert "MVE" not in along.section(half).partition("Settings of")[0]


def test_a_number_measured_by_another_protocol_names_it(lines: list[dict[str, str]]) -> None:
    (mve,) = (line for line in lines if line["protocol"] == "hooper-2026-mnist" and line["theirs"] == "93.64 ± 0.35")
    assert mve["verdict"].endswith("run as hooper-n8-k64-full")


def test_a_search_that_goes_on_says_how_many_trials_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = only(protocols.load("gumbel-rao-2021"), ["ST"], ["binary B=20"])
    folder = tmp_path / protocol.name / published.FULL_LENGTH
    whole = Reproduction.prepare(protocol, None, None, None, "cpu", 1, folder)
    for cell in whole.selection().cells[:7]:
        names = {"estimator": str(cell.estimator), "task": str(cell.task), "source": cell.source.name}
        identity = names | {"family": cell.estimator.family, "data": "mnist", "seed": cell.seed, "device": "cpu"}
        trial = row("elbo_valid", -110.0, 10_000, direction="higher", step=50_000)
        whole.session.store.write(cell.part(), "ok", cell.recipe(), [identity | trial])
    (folder / "context.json").write_text(json.dumps({"reproduction": {"scale": asdict(whole.scale)}}))
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    (found,) = (line for line in published.compared() if "trials" in line["verdict"])
    assert (found["protocol"], found["setting"], found["method"]) == ("gumbel-rao-2021", "binary B=20", "ST")
    assert found["verdict"] == "not run; 7 of 20 trials done" and found["ours"] == found["length"] == "–"
