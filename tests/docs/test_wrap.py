"""Prose in Markdown is wrapped at 100 columns, and wrapping changes nothing else."""

from __future__ import annotations

import re

import pytest
from documents import DOCS, ROOT
from pages.wrap import COLUMNS, wrapped

READ = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")]
READ += [*DOCS.rglob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
NO_PROSE = re.compile(r"^ *(```|\$\$).*?^ *\1$|^ *[|#<].*?$", re.MULTILINE | re.DOTALL)
WORDS = " ".join(["word"] * 30)


def too_long(text: str) -> list[str]:
    """The lines of prose above 100 columns that have a space to break at after the first word."""
    lines = NO_PROSE.sub("", text).splitlines()
    return [line for line in lines if len(line) > COLUMNS and " " in line.strip().removeprefix("* ")]


def test_prose_is_wrapped() -> None:
    found = {page.relative_to(ROOT).as_posix(): too_long(page.read_text(encoding="utf-8")) for page in READ}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("start", ["", "* ", "1. ", "  * "])
def test_a_long_line_is_seen_and_wrapped_below_its_first_word(start: str) -> None:
    page = f"{start}{WORDS}\n"
    assert too_long(page) and not too_long(wrapped(page))
    first, second = wrapped(page).splitlines()
    assert first.startswith(f"{start}word") and second.startswith(" " * len(start) + "word")
    assert wrapped(page).split() == page.split() and wrapped(wrapped(page)) == wrapped(page)


@pytest.mark.parametrize(
    "kept",
    [
        f"```sh\n{WORDS}\n\n{WORDS}\n```",
        f"$$\n{WORDS}\n$$",
        f"| {WORDS} | {WORDS} |",
        f"# {WORDS}",
        f"<!-- table: {WORDS} -->",
        f"[{'w' * 60}]({'l' * 60})",
        "short\nlines",
    ],
)
def test_code_tables_and_headings_are_left_alone(kept: str) -> None:
    assert wrapped(f"{kept}\n") == f"{kept}\n" and not too_long(kept)


@pytest.mark.parametrize("mark", ["-", "+", "=", "2.", "#", ">", "|"])
def test_no_line_begins_with_a_mark_that_would_mean_something(mark: str) -> None:
    page = wrapped(" ".join([*["word"] * 20, mark] * 3))
    assert len(page.splitlines()) > 3 and not any(line.startswith(mark) for line in page.splitlines())


def test_code_in_a_line_stays_on_it() -> None:
    code = "`dvae-bench run -e rloo`"
    assert wrapped(f"{'w' * 80} {code} word") == f"{'w' * 80}\n{code} word"
