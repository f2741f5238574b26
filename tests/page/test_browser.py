"""The page in a browser: first screen, matrix, search, sorting, hovering, dark mode, a phone, the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import listen
from dvae_bench.bench.page import write_page
from dvae_bench.bench.report import Study
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 400, "height": 850}, "is_mobile": True, "has_touch": True}


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
    return page.locator("#lines tbody tr th a").all_inner_texts()


def pick(page: Any, card: int, question: str) -> str:
    """The estimator that a card names under a question; "" for none."""
    answer = page.locator("#answers article").nth(card).locator(f"dt:has-text('{question}') + dd a.pick")
    return answer.inner_text() if answer.count() else ""


def choose(page: Any, control: str, value: str) -> None:
    page.locator(f"[data-control={control}] select").select_option(value)


def place_of(page: Any, estimator: str, column: int) -> str:
    row = page.locator(f"#matrix tr:has(th[scope=row] a:text-is('{estimator}'))")
    return row.locator("td").nth(column).locator("a").get_attribute("aria-label")


def test_the_first_screen_answers_and_follows_the_budget(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file, viewport={"width": 1280, "height": 800})
    assert page.locator("#answers article h2").first.inner_text().startswith("Bits")
    assert pick(page, 0, "Best trained") == pick(page, 0, "Best at this budget") == "straight-through"
    assert pick(page, 0, "Best unbiased") == "rloo:n=4"
    bottoms = page.locator("#answers article, #matrix table").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) >= 3 and max(bottoms) < 800, "without scrolling"
    assert place_of(page, "rloo:n=4", 0).startswith("unbiased, 2. of 4, 0.615")
    choose(page, "evaluations", "1")
    assert pick(page, 0, "Best unbiased") == pick(page, 0, "Best trained") == ""
    assert "more than the budget" in place_of(page, "rloo:n=4", 0)
    choose(page, "metric", "time")
    assert place_of(page, "reinforce", 0).startswith("unbiased, 1. of 4, 4.0")
    assert complaints == []


def test_the_matrix_shows_numbers_and_leads_to_the_estimator(
    page_file: Path, visit: Open, complaints: list[str]
) -> None:
    page = visit(page_file)
    assert page.locator("#matrix tr.family").all_inner_texts() == [
        "score function",
        "coupled",
        "control variates",
        "straight through",
    ]
    cell = page.locator("#matrix tr:has(a:text-is('disarm')) td").first
    cell.hover()
    assert page.locator("#tip").inner_text().startswith("disarm on bit-table: unbiased, 3. of 4")
    cell.click()
    opened = page.locator("details[open]", has_text="disarm").first
    opened.locator(".katex-display").wait_for()
    assert opened.locator(".own tbody tr").count() == 3, "its lines, once it is opened"
    assert complaints == []


def test_the_search_marks_an_estimator_everywhere(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    page.locator("#find").fill("disarm")
    assert page.locator("#matrix tr.found th").all_inner_texts() == ["disarm"]
    assert page.locator("#lines tr.found th").all_inner_texts() == ["disarm"]
    page.locator("#plane").scroll_into_view_if_needed()
    page.locator("#plane .textpoint text, #plane .point + text, #plane g.text text", has_text="disarm").first.wait_for()
    page.locator("#finishes").scroll_into_view_if_needed()
    page.locator("#finishes .ytick text", has_text="disarm").locator("tspan[style*=bold]").or_(
        page.locator("#finishes .ytick text[style*=bold]", has_text="disarm")
    ).first.wait_for()
    assert complaints == []


def test_the_leaderboard_follows_the_ranking_and_sorts(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file, viewport={"width": 1280, "height": 800})
    assert names(page) == ["straight-through", "rloo:n=4", "disarm", "reinforce"]
    page.locator("#task").select_option(label="category-table")
    page.locator("#lines thead button", has_text="variance × µs").click()
    assert names(page) == ["disarm", "straight-through", "rloo:n=4", "reinforce", "rebar"]
    page.locator("#lines thead button", has_text="variance × µs").click()
    assert names(page) == ["reinforce", "rloo:n=4", "straight-through", "disarm", "rebar"]  # what has none stays last
    assert page.locator("#lines [aria-sort=descending]").inner_text().startswith("variance × µs")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert complaints == []


def test_rows_beyond_the_first_hundred_come_on_demand(
    tmp_path: Path, write_run: Callable[..., Path], failed: Callable[..., Any], visit: Open, complaints: list[str]
) -> None:
    many = {}
    for i in range(10, 260):
        line = failed(f"rloo:n={i}", "bit-table", "ok", "")
        many[f"many{i}"] = [line | {"group": "cut", "metric": "var_total", "value": 1.0, "n": 9}]
    page = visit(write_page([Study.of(Store.open(write_run(tmp_path / "run", many)), "run")], tmp_path / "index.html"))
    assert page.evaluate("document.querySelectorAll('*').length") < 4000
    for place in ("#lines", "#matrix"):
        rows = page.locator(f"{place} tbody tr:not(.family)")
        assert rows.count() == 100
        page.locator(f"{place} .more").click()
        assert rows.count() > 250
    assert complaints == []


def test_one_bad_formula_harms_no_other(page_file: Path, visit: Open, complaints: list[str]) -> None:
    text = page_file.read_text()
    start = text.index('<div class="formula">') + len('<div class="formula">')
    page_file.write_text(text[:start] + r"\nosuchcommand{" + text[text.index("</div>", start) :])
    page = visit(page_file)
    for section in page.locator("details:has(.formula)").all():
        section.locator("summary").click()
    page.locator(".formula .katex-display").nth(3).wait_for()  # a formula is set when its section opens
    assert page.locator(".formula .katex-display").count() == page.locator(".formula").count() - 1 == 4
    assert "KaTeX cannot set this formula" in page.locator(".formula").first.inner_text()
    fonts = "[...document.fonts].filter(font => font.status === 'loaded').map(font => font.family)"
    page.wait_for_function(f"{fonts}.some(family => family.includes('KaTeX_Math'))")
    assert complaints == []


def test_hovering_a_point_gives_its_numbers_and_colour(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    point = page.locator("#plane .scatterlayer .points path").first
    page.locator("#plane").scroll_into_view_if_needed()
    point.wait_for()
    before = point.evaluate("e => getComputedStyle(e).fill + getComputedStyle(e).stroke")
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator("#plane .hoverlayer .hovertext").first
    hover.wait_for()
    assert "[" in hover.text_content() and " at " in hover.text_content()
    grey = "rgb(180, 180, 180)"
    assert grey in before
    page.wait_for_function(
        "grey => !getComputedStyle(document.querySelector('#plane .scatterlayer .points path')).fill.includes(grey)"
        " || !getComputedStyle(document.querySelector('#plane .scatterlayer .points path')).stroke.includes(grey)",
        arg=grey,
    )
    page.locator("#elbo").scroll_into_view_if_needed()
    page.locator("#elbo .against").select_option("evaluations")
    page.locator("#elbo .xtitle", has_text="evaluations").first.wait_for()
    assert complaints == []


def test_two_runs_stand_side_by_side_or_on_a_phone_one_below_the_other(
    tmp_path: Path, write_run: Callable[..., Path], visit: Open, complaints: list[str]
) -> None:
    studies = [Study.of(Store.open(write_run(tmp_path / name)), name) for name in ("base", "new")]
    path = write_page(studies, tmp_path / "index.html")
    for screen in ({}, PHONE):
        page = visit(path, **screen)
        page.locator("#plane").scroll_into_view_if_needed()
        page.locator("#plane .js-plotly-plot").nth(1).wait_for()
        first, second = (page.locator("#plane .js-plotly-plot").nth(i).bounding_box() for i in (0, 1))
        beside, below = second["x"] > first["x"] + 100, second["y"] > first["y"] + 100
        assert (beside, below) == ((False, True) if screen else (True, False))
        assert page.locator("#plane h4").all_text_contents() == ["base", "new"]
        choose(page, "run", "1")
    assert complaints == []


def test_every_control_is_reached_by_keyboard(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the leaderboard"
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.dataset.key ?? e.closest('[data-control]')?.dataset.control ?? e.id)(document.activeElement)"
            )
        )
        if reached[-1] == "variance × µs":
            break
    assert {"theme", "evaluations", "derivative", "metric", "find", "task", "variance × µs"} <= set(reached)
    page.keyboard.press("Enter")
    assert names(page)[0] == "disarm" and page.evaluate("document.activeElement.dataset.key") == "variance × µs"
    page.locator("#lines tbody tr th a").first.press("Enter")
    page.locator("details[open] summary b", has_text="disarm").wait_for()  # a link opens its estimator
    assert complaints == []


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (...colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = [];
  for (const element of document.querySelectorAll("header *, main *:not(.chart *), footer *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.matches("option, script")) continue;
    const below = [];
    for (let e = element; e; e = e.parentElement) below.unshift(getComputedStyle(e).backgroundColor);
    const [ink, paper] = [light(paint(...below, getComputedStyle(element).color)), light(paint(...below))];
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible_and_every_control_has_a_name(
    page_file: Path, visit: Open, scheme: str, complaints: list[str]
) -> None:
    page = visit(page_file, color_scheme=scheme)
    page.evaluate("() => Promise.all(document.getAnimations().map(each => each.finished))")  # colours fade in
    assert page.evaluate(CONTRAST) == []
    page.add_style_tag(content="h1 { color: #888 !important; background: #999 }")
    assert len(page.evaluate(CONTRAST)) >= 1, "the check sees faint text"
    unnamed = "all => all.filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    assert page.locator("button, select, input, a").evaluate_all(unnamed) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("table:not(:has(caption))").count() == page.locator("main th:not([scope])").count() == 0


def test_dark_follows_the_reader_and_the_button(page_file: Path, visit: Open, complaints: list[str]) -> None:
    page = visit(page_file, color_scheme="dark")
    page.locator("#plane").scroll_into_view_if_needed()
    page.locator("#plane .xtitle").wait_for()
    paper = "getComputedStyle(document.body.parentElement).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#plane .xtitle')).fill"
    assert (page.evaluate(paper), page.evaluate(ink)) == ("rgb(20, 24, 29)", "rgb(230, 233, 237)")
    page.locator("#theme").click()
    page.wait_for_function(f"{ink} === 'rgb(32, 38, 46)'")
    assert page.evaluate(paper) == "rgb(251, 251, 249)"
    assert complaints == []


def test_a_phone_shows_cards_and_needs_no_sideways_scrolling(
    page_file: Path, visit: Open, complaints: list[str]
) -> None:
    page = visit(page_file, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#lines tbody tr").first.evaluate("e => getComputedStyle(e).display") == "grid"
    assert not page.locator("#lines thead").is_visible()
    assert complaints == []


def test_a_matrix_of_every_estimator_is_as_wide_as_the_screen(
    tmp_path: Path, write_run: Callable[..., Path], failed: Callable[..., Any], visit: Open, complaints: list[str]
) -> None:
    """No block of it stands beside those that the screen has room for, and none ends with a heading."""
    every = {name: [failed(name, "bit-table", "error", "boom")] for name in ESTIMATORS.builtin}
    folder = write_run(tmp_path / "run", every)
    path = write_page([Study.of(Store.open(folder), "run")], tmp_path / "index.html")
    for screen, blocks in ((PHONE, 1), ({"viewport": {"width": 1280, "height": 900}}, 3)):
        page = visit(path, **screen)
        assert page.locator("#matrix table").count() == blocks
        assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
        assert page.locator("#matrix tr.family:last-child").count() == 0
        shown = page.locator("#matrix tbody tr:not(.family) th").count()
        assert shown == len({*ESTIMATORS.builtin, "rloo:n=4"})
    assert complaints == []


def test_no_button_sends_anything(page_file: Path, visit: Open) -> None:
    page = visit(page_file)
    page.locator("#plane").scroll_into_view_if_needed()
    page.locator("#plane .modebar-btn").first.wait_for(state="attached")
    labels = page.locator("#plane .modebar-btn").evaluate_all("all => all.map(each => each.outerHTML.split('<svg')[0])")
    assert len(labels) > 3 and not [label for label in labels if "hare" in label or "loud" in label]


def test_a_strangers_scripts_do_not_run(
    tmp_path: Path, hostile_run: tuple[Path, str, str], visit: Open, complaints: list[str]
) -> None:
    folder, evil, _ = hostile_run
    path = write_page([Study.of(Store.open(folder), "hostile")], tmp_path / "index.html")
    page = visit(path)
    assert page.title() == "dvae-bench: hostile" and complaints == []
    choose(page, "metric", "variance")
    assert evil in page.locator("#matrix").inner_text()
    path.write_text(path.read_text().replace("<main>", f"<main>{evil}"))
    page = visit(path)
    assert page.title() == "dvae-bench: hostile", "the policy holds where escaping would have failed"
    assert any("Content Security Policy" in words for words in complaints)
