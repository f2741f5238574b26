"""The page of published numbers: none is left out, and only full runs of verified numbers are compared."""

from __future__ import annotations

import pytest
from documents import DOCS
from dvae_bench.bench import protocols
from pages import published

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
    compared = [line for line in lines if line["verdict"] in (published.SAME, published.DIFFERENT)]
    assert {line["length"] for line in compared} == {"full"}
    assert {protocols.load(line["protocol"]).numbers for line in compared} == {"verified"}
    others = [line for line in lines if line not in compared]
    assert {line["difference"] for line in others} == {"–"}
    assert any("scaled down" in line["verdict"] for line in others)
    assert any("recalled" in line["verdict"] for line in others)


def test_the_exact_numbers_of_bias_and_variance_agree(lines: list[dict[str, str]]) -> None:
    exact = [line for line in lines if line["protocol"] == "hooper-bias-variance" and line["method"].startswith(EXACT)]
    assert len(exact) == 54 and {line["verdict"] for line in exact} == {published.SAME}


def test_the_page_has_both_tables(lines: list[dict[str, str]]) -> None:
    page = (DOCS / "published.md").read_text(encoding="utf-8")
    assert page.count("\n| ") == len(lines) + len(published.elsewhere()) + 4
