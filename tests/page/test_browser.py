"""The page in a browser: sorting, filtering, hovering, dark mode, a phone, the keyboard."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import listen
from dvae_bench.bench.page import write_page
from dvae_bench.bench.report import Study
from dvae_bench.bench.store.store import Store

Open = Callable[..., Any]


@pytest.fixture
def complaints() -> list[str]:
    """What the browser said against the page: errors, and requests that would have left the machine."""
    return []


@pytest.fixture
def visit(browser: Any, complaints: list[str]) -> Iterator[Open]:
    """Open a page without network, and wait until its scripts are done."""
    contexts = []

    def open_(path: Path, **screen: Any) -> Any:
        contexts.append(browser.new_context(offline=True, **({"viewport": {"width": 1280, "height": 900}} | screen)))
        page = contexts[-1].new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        listen(page, complaints)
        page.goto(path.resolve().as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def page_file(tmp_path: Path, write_run: Callable[..., Path], failed: Callable[..., Any]) -> Path:
    folder = write_run(tmp_path / "run", {"x": [failed("rebar", "category-table", "error", "Traceback\n  boom")]})
    return write_page([Study.of(Store.open(folder), "run")], tmp_path / "index.html")


def names(page: Any) -> list[str]:
    return page.locator("#lines tbody tr th").all_inner_texts()


def wait_for_names(page: Any, *wanted: str) -> None:
    """The table is drawn again some time after a click; a timeout says that it never began with these names."""
    page.wait_for_function(
        "wanted => wanted.every((name, i) => document.querySelectorAll('#lines tbody tr th')[i]?.innerText === name)",
        arg=list(wanted),
    )


def header(page: Any, key: str) -> Any:
    return page.locator(f".dt-scroll-head th[data-key={key}]")


def test_a_walk_sorts_filters_reads_and_hovers(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    page.locator("#filters select[data-column=task]").select_option("category-table")
    wait_for_names(page, "straight-through")  # by variance at first
    header(page, "work").click()
    wait_for_names(page, "disarm", "straight-through", "rloo:n=4", "reinforce", "rebar")
    header(page, "work").click()
    wait_for_names(page, "reinforce", "rloo:n=4", "straight-through", "disarm", "rebar")  # what has none stays last
    page.get_by_label("Search").fill("rloo")
    wait_for_names(page, "rloo:n=4")
    assert names(page) == ["rloo:n=4"]
    point = page.locator("#plane .scatterlayer .trace .points path").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator("#plane .hoverlayer .hovertext").first
    hover.wait_for()
    assert "[" in hover.text_content() and "at 2" in hover.text_content()
    page.locator("#elbo .against").select_option("evaluations")
    assert page.locator("#elbo .xtitle").text_content() == "evaluations"
    assert complaints == []


def test_the_latent_filter_goes_by_the_task(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    page.locator("#filters select[data-column=latent]").select_option("categorical 2x4")
    page.wait_for_function("document.querySelectorAll('#lines tbody tr').length === 5")
    assert set(page.locator("#lines tbody tr td:nth-child(2)").all_inner_texts()) == {"category-table"}
    assert complaints == []


def test_formulas_are_typeset(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    assert page.locator(".formula .katex-display").count() == page.locator(".formula").count() == 5
    assert page.locator(".katex-error").count() == 0 and complaints == []
    page.locator("summary", has_text="rloo").click()
    fonts = "[...document.fonts].filter(font => font.status === 'loaded').map(font => font.family)"
    page.wait_for_function(f"{fonts}.some(family => family.includes('KaTeX_Math'))")


def test_two_runs_stand_side_by_side_or_on_a_phone_one_below_the_other(
    tmp_path: Path, write_run: Callable[..., Path], visit: Open, complaints: list[str]
) -> None:
    studies = [Study.of(Store.open(write_run(tmp_path / name)), name) for name in ("base", "new")]
    path = write_page(studies, tmp_path / "index.html")
    for screen in ({}, {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}):
        page = visit(path, **screen)
        first, second = (page.locator(f"#plane .subplot.{axes}").bounding_box() for axes in ("xy", "x2y2"))
        beside, below = second["x"] > first["x"] + 100, second["y"] > first["y"] + 100
        assert (beside, below) == ((False, True) if screen else (True, False))
        assert page.locator("#plane .annotation-text").all_text_contents() == ["base", "new"]
        legend = page.locator("#plane .legendtext").all_text_contents()
        assert len(legend) == len(set(legend)) == 5, "one entry an estimator, and the front"
        labels = page.locator("#plane .xaxislayer-above .xtick text").evaluate_all(
            "all => all.map(each => each.getBoundingClientRect()).map(box => [box.left, box.right])"
        )
        assert labels and all(right < left for (_, right), (left, _) in itertools.pairwise(labels))
    assert complaints == []


def test_every_control_is_reached_by_keyboard(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the leaderboard"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(e => e.closest('th')?.dataset.key ?? e.dataset.column ?? e.id)(document.activeElement)")
        )
        if reached[-1] == "work":
            break
    assert {"theme", "task", "verdict", "work"} <= set(reached)
    page.keyboard.press("Enter")
    wait_for_names(page, "disarm")
    link = page.locator("#lines tbody tr th a").first
    link.press("Enter")
    page.locator("details[open] summary b", has_text="disarm").wait_for()  # a link opens its estimator
    assert complaints == []


def test_dark_follows_the_reader_and_the_button(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#plane .xtitle')).fill"
    assert (page.evaluate(paper), page.evaluate(ink)) == ("rgb(20, 23, 26)", "rgb(228, 231, 235)")
    page.locator("#theme").click()
    assert (page.evaluate(paper), page.evaluate(ink)) == ("rgb(255, 255, 255)", "rgb(28, 32, 36)")
    assert complaints == []


def test_a_phone_needs_no_sideways_scrolling(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert complaints == []


def test_no_button_sends_anything(page_file: Path, visit: Open) -> None:
    page = visit(page_file)
    labels = page.locator("#plane .modebar-btn").evaluate_all("all => all.map(each => each.outerHTML.split('<svg')[0])")
    assert len(labels) > 3 and not [label for label in labels if "hare" in label or "loud" in label]


def test_a_strangers_scripts_do_not_run(
    tmp_path: Path, hostile_run: tuple[Path, str, str], visit: Open, complaints: list[str]
) -> None:
    folder, evil, _ = hostile_run
    path = write_page([Study.of(Store.open(folder), "hostile")], tmp_path / "index.html")
    page = visit(path)
    assert page.title() == "dvae-bench: hostile" and complaints == []
    assert evil in page.locator("#lines tbody").inner_text()
    path.write_text(path.read_text().replace("<main>", f"<main>{evil}"))
    page = visit(path)
    assert page.title() == "dvae-bench: hostile", "the policy holds where escaping would have failed"
    assert any("Content Security Policy" in words for words in complaints)
