"""The output of a run: the plan, a progress bar on a terminal or plain lines elsewhere, and the tables at the end."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table as Grid
from rich.text import Text

from ..escapes import terminal
from ..report.tables.table import Table
from .cell import Cell
from .runner import Progress
from .session import Estimate, Session

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
IN_FILES_ONLY = ("efficiency", "seeds")
SIGNS = {"ok": "done", "error": "FAILED", "diverged": "DIVERGED"}


class Screen:
    """Prints to stdout, as wide as the terminal."""

    def __init__(self, session: Session, jobs: int = 1) -> None:
        self.session, self.jobs = session, jobs
        wide = not sys.stdout.isatty()
        self.console = Console(file=sys.stdout, highlight=False, width=160 if wide else None, soft_wrap=wide)
        self.bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
        )
        self.ended = 0

    def plan(self, fresh: bool) -> None:
        """Print the cells by source, how many are finished already, and about how long the others take."""
        cells = self.session.cells
        todo = cells if fresh else self.session.unfinished()
        self.estimate = Estimate(todo, self.session.pace, self.jobs)
        kinds = Counter(cell.source for cell in cells)
        grid = ", ".join(f"{count} {source.label}" for source, count in kinds.items())
        data = next((cell.place.data for cell in cells if cell.place.data), "")
        self.say(
            f"{len(cells)} cells: {grid}; device {self.session.context['device']}" + (f", data {data}" if data else "")
        )
        self.say(
            f"{len(cells) - len(todo)} finished already; {len(todo)} to measure, about {minutes(self.estimate.seconds)}"
        )

    def progress(self) -> Progress:
        if not self.console.is_terminal:
            return Progress(end=self._line, say=self.say)
        self.bar.start()
        self.task = self.bar.add_task("", total=len(self.session.cells), left="")
        return Progress(self._begin, self._tick, self._end, self.say)

    def _begin(self, cell: Cell) -> None:
        self.bar.update(self.task, description=str(cell), left=f"{minutes(self.estimate.seconds)} left")

    def _tick(self, fraction: float) -> None:
        self.bar.update(self.task, completed=self.ended + fraction)

    def _end(self, cell: Cell, status: str, reason: str, seconds: float) -> None:
        self._line(cell, status, reason, seconds)
        self.bar.update(self.task, completed=self.ended)

    def _line(self, cell: Cell, status: str, reason: str, seconds: float) -> None:
        self.ended += 1
        if status == "reused":
            return
        self.estimate.done(cell, seconds)
        why = f": {reason.strip().splitlines()[-1]}" if reason else ""
        count = f"[{self.ended}/{len(self.session.cells)}]"
        self.say(f"{count} {SIGNS.get(status, status)} {cell} ({seconds:.1f} s){why}")

    def interrupted(self) -> None:
        self.bar.stop()
        self.say(f"interrupted; {self.ended} cells are stored in {self.session.store.folder}, the same command goes on")

    def finish(self, counts: dict[str, int], *more: Table) -> None:
        """Print the tables, then `more` with their captions, the number of cells by status, and where the files are."""
        self.bar.stop()
        study = self.session.study()
        for table in study.tables:
            if table.name not in IN_FILES_ONLY:
                self._show(table)
        folder = self.session.store.folder
        *files, page = self.session.report(study)
        for table in more:
            self._show(table)
            self.say(table.caption)
            files += table.write(folder / "tables")
        self.counted(counts)
        self.say(f"tables: {folder / 'tables'}   figures: {folder / 'figures'}   ({len(files)} files)")
        self.say(f"page: {page}")

    def counted(self, counts: dict[str, int]) -> None:
        """Print the number of cells by status."""
        self.bar.stop()
        ended = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        self.say(f"cells: {ended}")

    def traced(self, paths: list[Path]) -> None:
        self.say(f"traces: {self.session.store.folder / 'traces'}   ({len(paths)} files)")

    def _show(self, table: Table) -> None:
        """Print a table in parts, one per task or setting; the files have the full intervals and every column."""
        short = table.text.drop(columns=[name for name in LEFT_OUT if name in table.text])
        first = short.columns[0]
        for place, part in short.groupby(first, sort=False):
            title = Text(terminal(str(place)))
            grid = Grid(title=title, box=None, title_justify="left", header_style="bold", pad_edge=False)
            for column in part.columns.drop(first):
                grid.add_column(column)
            for line in part.drop(columns=first).itertuples(index=False):
                grid.add_row(*(Text(terminal(cell)) for cell in line))
            self.console.print(grid)
            self.console.print()

    def say(self, text: str) -> None:
        self.console.print(terminal(text), markup=False)


def minutes(seconds: float) -> str:
    """Seconds for readers: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
