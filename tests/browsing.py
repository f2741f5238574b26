"""Chromium, and the errors and warnings that it reports for a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
INSIDE = ("file:", "data:", "blob:")


def chromium() -> Iterator[Any]:
    """A browser, closed afterwards; skips where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found[0], args=[*FLAGS])
        yield started
        started.close()


def listen(page: Any, complaints: list[str]) -> None:
    """Note the errors of a page's scripts, and its requests that would leave the machine."""
    page.on("request", lambda request: None if request.url.startswith(INSIDE) else complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
