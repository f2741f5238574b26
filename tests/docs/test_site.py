"""The site builds without warnings, needs nothing from outside, and can be read and searched from a folder."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browsing import listen
from documents import DOCS, PAGES, ROOT

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
OUTSIDE = re.compile(r"^(?:https?:)?//")
ARITHMATEX = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
GENERATED_LIST = "estimators/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="zensical is not installed: pip install '.[docs]'")
    build = tmp_path_factory.mktemp("build")
    command = [sys.executable, str(ROOT / "scripts" / "make_site.py"), str(build)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return build / "site"


class Loads(HTMLParser):
    """What a page makes the browser fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADED and given.get("rel") != "canonical":
            self.urls.append(given.get(LOADED[tag]) or "")


def loads(html: str) -> list[str]:
    page = Loads()
    page.feed(html)
    return page.urls


def test_the_site_loads_nothing_from_outside(site: Path) -> None:
    pages = {path.relative_to(site): loads(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > len(PAGES)
    assert all(pages.values())
    assert {
        name: [url for url in urls if OUTSIDE.match(url)]
        for name, urls in pages.items()
        if any(map(OUTSIDE.match, urls))
    } == {}
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8")) == []


def test_an_outside_script_would_be_seen() -> None:
    html = (
        '<img src="a.png"><script src="https://example.org/x.js"></script><link rel="canonical" href="https://e.org">'
    )
    assert [url for url in loads(html) if OUTSIDE.match(url)] == ["https://example.org/x.js"]


def test_a_dead_link_ends_the_build(site: Path, tmp_path: Path) -> None:
    page = site.parent / "pages" / "index.md"
    text = page.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(site.parent / "zensical.toml")]
    try:
        page.write_text(text + "\n[nowhere](statistics.md#nowhere)\n", encoding="utf-8")
        assert subprocess.run(command, capture_output=True).returncode != 0
    finally:
        page.write_text(text, encoding="utf-8")


def in_navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else in_navigation(value)


def test_every_page_is_in_the_navigation() -> None:
    """Estimators' pages are in their list."""
    shown = set(in_navigation(tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    listed = (DOCS / GENERATED_LIST / "index.md").read_text(encoding="utf-8")
    shown |= {GENERATED_LIST + name for name in re.findall(r"\]\(([\w-]+\.md)\)", listed)}
    assert {page.name for page in PAGES} == shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_site_is_read_and_searched_from_a_folder(site: Path, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 844})
    page, complaints = context.new_page(), list[str]()
    listen(page, complaints)
    for name in ("index.html", "which-estimator.html", "estimators/rebar.html", "seed-document.html"):
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
    assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    page.keyboard.press("/")
    page.get_by_role("combobox").or_(page.locator("input:visible")).first.fill("antithetic")
    page.get_by_text("DisARM", exact=False).first.wait_for()
    assert complaints == []
    context.close()


def test_formulas_are_typeset(site: Path, browser: Any) -> None:
    """One page as a reader sees it; the formulas of all others by the same KaTeX, since loading each takes a second."""
    page = browser.new_page()
    pages = sorted(path for path in (site / "estimators").glob("*.html") if path.stem != "index")
    page.goto(pages[0].as_uri())
    assert page.locator(".arithmatex .katex").count() == 1 and page.locator(".katex-error").count() == 0
    for path in pages:
        (formula,) = ARITHMATEX.findall(path.read_text(encoding="utf-8"))
        page.evaluate("text => katex.renderToString(text, { throwOnError: true })", unescape(formula))
    page.close()
