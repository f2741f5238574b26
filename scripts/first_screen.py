"""The landing page's picture: `python scripts/first_screen.py [PAGE]` draws docs/first-screen.webp from a run's page.

PAGE is by default results/quick/index.html, which `make run` writes. Needs playwright, and Chromium on the PATH.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SCREEN: ViewportSize = {"width": 1280, "height": 800}


def main() -> None:
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "quick" / "index.html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport=SCREEN, color_scheme="light")
        opened.goto(page.resolve().as_uri())
        opened.wait_for_load_state("networkidle")
        shot = Image.open(io.BytesIO(opened.screenshot()))
        browser.close()
    shot.save(ROOT / "docs" / "first-screen.webp", lossless=True, quality=100)


if __name__ == "__main__":
    main()
