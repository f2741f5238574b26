"""The output of a run: the plan, a bar on a terminal or a line per cell elsewhere, and the answers at the end."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.style import Style
from rich.text import Text

from ..escapes import terminal
from ..ranking.budget import Budget
from ..report.answers import answers, contradicted, footnotes, shortened
from ..report.rows import failures
from ..report.study import Study
from ..report.tables.table import Table, one_line
from .cell import Cell
from .grids import console, show_answers, show_table
from .progress_file import ProgressFile
from .runner import Progress
from .session import Estimate, Session

SIGNS = {"ok": "done", "error": "FAILED", "diverged": "DIVERGED"}
QUIET = ("reused", "unsupported")
"""Cells that end so were not measured, and have no line."""
ANSWERS, FEW = 24, 3
"""The most lines of answers, and of contradicted claims and of failures: with the rest, at most 40 lines."""
SUPPORT = "`dvae-bench list support`"


class Screen:
    """Prints to stdout, as wide as the terminal."""

    def __init__(self, session: Session, jobs: int = 1) -> None:
        self.session, self.jobs, self.console = session, jobs, console()
        self.bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
        )
        self.ended, self.failed, self.running, self.reasons = 0, 0, dict[str, None](), dict[str, None]()
        self.file = ProgressFile(session.store.folder)
        self.left_of = Counter(cell.source for cell in session.cells)

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
        if self.session.inapplicable:
            self.say(f"{self.session.inapplicable} combinations do not apply: {SUPPORT}")
        self.say(
            f"{len(cells) - len(todo)} finished already; {len(todo)} to measure, about {minutes(self.estimate.seconds)}"
        )

    def progress(self) -> Progress:
        """A bar on a terminal, with the cell that is measured and the time left; a line per measured cell elsewhere."""
        if self.console.is_terminal:
            self.bar.start()
            self.task = self.bar.add_task("", total=len(self.session.cells), left="")
        return Progress(self._begin, self._tick, self._end, self.say)

    def _begin(self, cell: Cell) -> None:
        self.running[str(cell)] = None
        self._record()
        if self.console.is_terminal:
            self.bar.update(self.task, description=str(cell), left=f"{minutes(self.estimate.seconds)} left")

    def _tick(self, fraction: float) -> None:
        if self.console.is_terminal:
            self.bar.update(self.task, completed=self.ended + fraction)

    def _end(self, cell: Cell, status: str, reason: str, seconds: float) -> None:
        self.ended += 1
        self.running.pop(str(cell), None)
        self.failed += status == "error"
        if status == "unsupported":
            self.reasons[reason] = None
        if status != "reused":
            self.estimate.done(cell, seconds)
        if status not in QUIET and not (self.console.is_terminal and status == "ok" and not reason):
            why = f": {reason.strip().splitlines()[-1]}" if reason else ""
            count = f"[{self.ended}/{len(self.session.cells)}]"
            self.say(f"{count} {SIGNS.get(status, status)} {cell} ({seconds:.1f} s){why}")
        self._record()
        if self.console.is_terminal:
            self.bar.update(self.task, completed=self.ended)
            self._stage(cell)

    def _stage(self, cell: Cell) -> None:
        """Once all cells of a source have ended and others have not: print the answers so far, and write the page."""
        self.left_of[cell.source] -= 1
        if not self.left_of[cell.source] and self.ended < len(self.session.cells) and self.estimate.spent:
            study = self.session.study()
            self._answers(study, ANSWERS)
            self._page(self.session.page(study))

    def _record(self, ended: bool = False) -> None:
        left = 0.0 if ended and not self.running else self.estimate.seconds
        cells = len(self.session.cells)
        self.file.write(cells, self.ended, self.failed, () if ended else self.running, left, ended)

    def interrupted(self) -> None:
        self.bar.stop()
        self._record(ended=True)
        self.say(f"interrupted; {self.ended} cells are stored in {self.session.store.folder}, the same command goes on")

    def finish(self, counts: dict[str, int], *more: Table) -> None:
        """Write the report; print the answers, or `more` with their captions, then what failed and where the page is.

        At most 40 lines without `more`; the full tables are in the files, and printed by `dvae-bench table`.
        """
        self.bar.stop()
        study, folder = self.session.study(), self.session.store.folder
        *files, page = self.session.report(study)
        for table in more:
            show_table(table, self.console)
            self.say(table.caption)
            files += table.write(folder / "tables")
        if not more:
            self._answers(study, ANSWERS)
        self._verdicts(study)
        self.counted(counts)
        first = "training" if {cell.source.name for cell in self.session.cells} == {"steps"} else "toys"
        self.say(
            f"tables: `dvae-bench table {folder} {first}`, or {folder / 'tables'} ({len(files)} files with figures)"
        )
        self._page(page)

    def counted(self, counts: dict[str, int]) -> None:
        """Print the number of cells by status, and how many combinations did not apply; why, if no other cell ended."""
        self.bar.stop()
        self._record(ended=True)
        ended = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if status != "unsupported")
        left_out = self.session.inapplicable + counts.get("unsupported", 0)
        self.say(f"cells: {ended or 'none'}" + (f"; {left_out} combinations do not apply" if left_out else ""))
        for reason in () if ended else [*self.reasons][:FEW]:
            self.say(f"  {reason}")

    def traced(self, paths: list[Path]) -> None:
        self.say(f"traces: {self.session.store.folder / 'traces'}   ({len(paths)} files)")

    def _answers(self, study: Study, most: int) -> None:
        found = answers(study.rows)
        shown = shortened(found, most)
        if shown:
            self.say(
                f"Error of the gradient that the best constant leaves at {Budget()}, and test ELBO of trainings whose "
                "step needs no more evaluations:"
            )
            show_answers(shown, self.console)
        if len(shown) < len(found):
            self.say(f"{len(found) - len(shown)} more answers are on the page")
        for note in footnotes(study.rows["task"]):
            self.say(note)

    def _verdicts(self, study: Study) -> None:
        """Contradicted claims and failures, the first few of each."""
        failed = failures(study.rows)
        lost = [
            f"{line['estimator']} on {line['task']}, {line['source']}: {line['status']}, {one_line(line['reason'])}"
            for line in failed.to_dict("records")
        ]
        for title, lines in (("claims contradicted", contradicted(study.rows)), ("failures", lost)):
            if lines:
                self.say(f"{title}: {len(lines)}")
                for line in lines[:FEW]:
                    self._cut(f"  {line}")
                if len(lines) > FEW:
                    self.say(f"  {len(lines) - FEW} more are on the page")

    def _page(self, page: Path) -> None:
        """Where the page is: a link on terminals that open it."""
        shown = Text(f"page: {terminal(str(page))}")
        if self.console.is_terminal:
            # Path.resolve would raise on a circle of links
            shown.stylize(Style(link=Path(os.path.abspath(page)).as_uri()), 6)  # noqa: PTH100
        self.console.print(shown)

    def _cut(self, text: str) -> None:
        self.console.print(terminal(text), markup=False, no_wrap=True, overflow="ellipsis", soft_wrap=False)

    def say(self, text: str) -> None:
        self.console.print(terminal(text), markup=False)


def minutes(seconds: float) -> str:
    """Seconds for readers: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
