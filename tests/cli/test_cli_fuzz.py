"""Junk on the command line exits with 2 and one sentence, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JUNK = "\0"
RUN = ["run", "--dry-run", "-e", "rloo", "-t", "bit"]
COMMANDS = [
    [JUNK],
    [JUNK, JUNK],
    ["run", "--dry-run", "-e", JUNK, "-t", "bit"],
    ["run", "--dry-run", "-e", "rloo", "-t", JUNK],
    *[[*RUN, option, JUNK] for option in ("-x", "-o", "--device", "--preset", "--seeds", "--threads", "--plugin")],
    [*RUN, JUNK],
    ["list", JUNK],
    ["list", "--plugin", JUNK],
    ["show", JUNK],
    ["report", JUNK],
    ["report", JUNK, "-o", JUNK],
    ["compare", JUNK, JUNK],
    ["compare", ".", ".", "--fail-on", JUNK],
    ["compare", "--rerun", JUNK, JUNK],
    ["history", JUNK, JUNK],
    ["history", JUNK, ".", "-e", JUNK, "-t", JUNK],
]
LIKELY = ["rloo", "rloo:", "n=", "bit", "all", "*", "[", "{", "}", ",", "=", "-", "--", "-e", "--seeds", ".", "..", "/"]
NUMBERS = ["-1", "0", "1", "1.5", "1e999", "nan", "x" * 300, "9" * 400]


def big(text: str) -> bool:
    """A number that is no junk, but more work than a test has time for."""
    try:
        return int(text) > 8
    except ValueError:
        return False


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TEXTS = (
    st.text(CHARACTERS, max_size=12)
    | st.sampled_from(LIKELY + NUMBERS)
    | st.lists(st.sampled_from(LIKELY + NUMBERS) | CHARACTERS, max_size=6).map("".join)
).filter(lambda text: not big(text))


@pytest.mark.full
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(COMMANDS), st.data())
def test_junk_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], data: st.DataObject
) -> None:
    """About 40 s. Exit 0 is for junk that means something, as `-t '*'` or `--help` do."""
    monkeypatch.chdir(tmp_path)
    ended = command(*[data.draw(TEXTS) if word == JUNK else word for word in words])
    assert ended.code in (0, 2)
    if ended.code:
        assert "Traceback" not in ended.err
        one_sentence = ended.err.startswith("error: ") and ended.err.count("\n") == 1
        assert one_sentence or "─ Error ─" in ended.err, "ours, or the box of the argument parser"
