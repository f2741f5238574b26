"""One run from selection to report: find the data and device, plan, measure, write tables, figures and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...estimators.names import Name, Unsupported
from ...estimators.registry import TASKS
from ...tasks.vae.datasets import load_mnist
from ...tasks.vae.speed import PATHS, check_speed
from ..page import write_page
from ..report import Study, labels, write_report
from ..sources import SOURCES, Source
from ..sources.timing.clock import device_from, steady_host
from ..store.store import Store
from .cell import Cell, Place
from .context import context
from .executors import HERE, Execution
from .plan import inapplicable, needs_data, plan
from .presets import Preset
from .runner import Progress
from .tracing import write_traces


@dataclass
class Session:
    """A planned run in one results folder.

    Raises UsageError when the device is missing, the data are bad, a task of them refuses its hyper-parameters, or a
    newer dvae-bench wrote the folder.
    """

    cells: list[Cell]
    store: Store
    context: dict[str, object]
    pace: float = 1.0
    """The expected time of a cell, as a multiple of its typical seconds."""
    inapplicable: int = 0
    """How many combinations of estimator, task and source were left out of the plan."""

    @classmethod
    def prepare(
        cls,
        estimators: Iterable[Name],
        tasks: Iterable[Name],
        preset: Preset,
        seeds: int,
        device: str,
        threads: int,
        folder: Path,
        sources: Iterable[Source] = tuple(SOURCES.values()),
    ) -> Session:
        estimators, tasks, sources = list(estimators), list(tasks), list(sources)
        session, place = cls.open(tasks, device, threads, folder)
        session.cells = plan(estimators, tasks, preset, place, seeds, sources)
        session.inapplicable = inapplicable(estimators, tasks, sources)
        return session

    @classmethod
    def open(cls, tasks: Iterable[Name], device: str, threads: int, folder: Path) -> tuple[Session, Place]:
        """A session without cells, and the place where its cells will be measured. Errors as for the class."""
        store = Store(folder)
        store.check_schema()
        tasks, chosen = list(tasks), device_from(device)
        for task in tasks:
            check_speed(chosen, task.values)
        for task in filter(needs_data, tasks):
            check_values(task)
        about = context(chosen, threads, steady_host(threads))
        data = load_mnist().name if any(map(needs_data, tasks)) else ""
        place = Place(device=str(chosen), device_name=str(about["device_name"]), threads=threads, data=data)
        return cls([], store, about), place

    def unfinished(self) -> list[Cell]:
        return [cell for cell in self.cells if not self.store.finished(cell.part())]

    def run(self, progress: Progress, fresh: bool, execution: Execution = HERE) -> dict[str, int]:
        """Measure the unfinished cells, or all cells if `fresh`; returns counts by status."""
        self.store.write_context(self.context)
        self.store.sweep()
        return execution.run(self.cells, self.store, progress, fresh)

    def trace(self, say: Callable[[str], None]) -> list[Path]:
        """Write a chrome trace of every training step; `say` receives the reason where there is none."""
        return write_traces(self.cells, self.store.folder / "traces", say)

    def rows(self) -> pd.DataFrame:
        """The rows of this run's cells only, not those of older cells in the same folder."""
        return self.store.rows([cell.part() for cell in self.cells])

    def study(self) -> Study:
        """The same rows, prepared for tables, figures and the page."""
        return Study.of(self.store, labels([self.store.folder])[0], [cell.part() for cell in self.cells])

    def report(self, study: Study) -> list[Path]:
        """Write tables, figures and the page; returns the files, the page last."""
        return [*write_report(study, self.store.folder), self.page(study)]

    def page(self, study: Study) -> Path:
        """Write the page alone."""
        return write_page([study], self.store.folder / "index.html")


def check_values(task: Name) -> None:
    """Raises UsageError if a task on MNIST refuses its hyper-parameters together, before each of its cells fails on
    them. Where the task does not apply, its cells say so. Wherever it will run, it is tried on the CPU."""
    values = {name: value for name, value in task.values.items() if name not in PATHS}
    with suppress(Unsupported):
        TASKS.find(task.family).load()(**values)


class Estimate:
    """Seconds left: typical times, scaled by the pace of this machine so far.

    `jobs` cells are measured at a time, and one of a source that needs the machine to itself.
    """

    def __init__(self, cells: Iterable[Cell], pace: float = 1.0, jobs: int = 1) -> None:
        self.pace, self.jobs = pace, jobs
        self.left = sum(map(self._share, cells))
        self.expected = self.spent = 0.0

    def _share(self, cell: Cell) -> float:
        """The typical seconds by which a cell lengthens the run."""
        return cell.source.seconds(cell.settings) / (1 if cell.source.alone else self.jobs)

    def done(self, cell: Cell, seconds: float) -> None:
        typical = cell.source.seconds(cell.settings)
        self.left -= self._share(cell)
        self.expected += typical
        self.spent += seconds

    @property
    def seconds(self) -> float:
        pace = self.spent / self.expected if self.expected else self.pace
        return max(0.0, self.left) * pace
