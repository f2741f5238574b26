"""Build the documentation site, build/site, from docs/, without network access: `python scripts/make_site.py [FOLDER]`.

The pages are copied to build/pages first, with every file of the repository that they link to, so that the site is
self-contained. A link to a missing page or heading is an error. Needs the extra `docs`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")
OUTSIDE = "files"
KATEX = ("katex.min.css", "katex.min.js")


def stage(build: Path) -> None:
    """Copy docs/ and KaTeX to build/pages, and files of the repository that the pages link to into its files/."""
    pages = build / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.toml"))
    for name in KATEX:
        shutil.copy(ROOT / "bench" / "page" / "vendor" / name, pages / "assets")
    shutil.copy(DOCS / "zensical.toml", build / "zensical.toml")
    for page in sorted(DOCS.rglob("*.md")):
        inside = partial(_inside, page=page, pages=pages)
        (pages / page.relative_to(DOCS)).write_text(
            LINK.sub(inside, page.read_text(encoding="utf-8")), encoding="utf-8"
        )


def _inside(link: re.Match[str], page: Path, pages: Path) -> str:
    """A link within docs/ unchanged; a link to a file outside docs/ changed into one to the copy of that file."""
    target = (page.parent / link[1]).resolve()
    if target.is_relative_to(DOCS) or not target.is_file():
        return link[0]
    copy = pages / OUTSIDE / target.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(target, copy)
    up = "../" * len(page.parent.relative_to(DOCS).parts)
    return f"]({up}{copy.relative_to(pages).as_posix()})"


def main() -> None:
    build = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build"
    shutil.rmtree(build / "site", ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)
    stage(build)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(build / "zensical.toml")]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
