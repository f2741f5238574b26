"""Verdicts: what got better or worse between two runs, by the size of the change and its interval."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from ..escapes import terminal
from .comparison import Comparison, compare
from .gate import GATING, Gate
from .runs import Run
from .second_look import SecondLook
from .show import junit, markdown, show

__all__ = ["GATING", "Comparison", "Gate", "Run", "compare", "compare_folders"]

_WIDTH = 200


def compare_folders(
    base: Path, new: Path, gate: Gate, markdown_file: Path | None, junit_file: Path | None
) -> Comparison:
    """Compare two results folders; print the verdicts and write them to the given files and $GITHUB_STEP_SUMMARY."""
    wide = not sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False, width=_WIDTH if wide else None, soft_wrap=wide)
    run = Run.open(new)
    look_again = SecondLook(run, lambda text: console.print(terminal(text), markup=False))
    comparison = compare(Run.open(base), run, look_again, gate)
    show(comparison, console)
    text = markdown(comparison, str(base), str(new))
    if markdown_file is not None:
        markdown_file.write_text(text, encoding="utf-8")
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as page:
            page.write(text)
    if junit_file is not None:
        junit_file.write_text(junit(comparison), encoding="utf-8")
    return comparison
