"""Tables on the terminal: of the run's tables without their rarer columns, and of its answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ..escapes import terminal
from ..report.answers import Answer
from ..report.tables.table import Table

LEFT_OUT = (
    "data",
    "device",
    "diffs",
    "IW bound test",
    "gap",
    "distortion",
    "bits",
    "variance at the logits",
    "seed",
    "group",
    "collector",
)


def console() -> Console:
    """Standard output, as wide as the terminal."""
    wide = not sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, width=160 if wide else None, soft_wrap=wide)


def show_table(table: Table, on: Console) -> None:
    """Print a table in parts, one per task or setting; the files have the full intervals and every column."""
    short = table.text.drop(columns=[name for name in LEFT_OUT if name in table.text])
    first = short.columns[0]
    for place, part in short.groupby(first, sort=False):
        grid = Grid(
            title=Text(terminal(str(place))), box=None, title_justify="left", header_style="bold", pad_edge=False
        )
        for column in part.columns.drop(first):
            grid.add_column(column)
        for line in part.drop(columns=first).itertuples(index=False):
            grid.add_row(*(Text(terminal(cell)) for cell in line))
        on.print(grid)
        on.print()


def show_answers(found: Sequence[Answer], on: Console) -> None:
    """Print one line per answer, cut at the width of the terminal; a setting is named once."""
    grid = Grid(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    named = ""
    for answer in found:
        setting, named = "" if answer.setting == named else answer.setting, answer.setting
        grid.add_row(*(Text(terminal(cell)) for cell in (setting, answer.question, answer.text)))
    on.print(grid)
