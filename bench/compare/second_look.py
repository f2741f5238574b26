"""A second look: the cells of NEW in doubt, measured again with fresh draws, four times as many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...estimators.names import Name, UsageError
from ...estimators.registry import ESTIMATORS, TASKS
from ..run.cells import Cell, Place
from ..run.runner import Progress, run_cells
from ..sources import DRAWS
from ..sources.settings import DrawSettings
from ..sources.timing.clock import device_from, steady_host
from ..store.store import Store
from .runs import Run, StoredCell, Subject

MORE = 4


@dataclass
class SecondLook:
    """Measures with the installed code, if that is the code that NEW was measured with.

    The cells lie in NEW's own folder second-look/, and are reused: they would be counted twice among NEW's cells.
    """

    new: Run
    say: Callable[[str], None]

    def __call__(self, subject: Subject) -> list[StoredCell] | str:
        """The subject's cells with fresh draws only, or why there are none."""
        again = []
        for stored in self.new.cells[subject]:
            cell = _as_cell(stored)
            if isinstance(cell, str):
                return cell
            self.say(f"second look: {cell}")
            found = self._measure(cell)
            if found.status != "ok":
                return f"the second look ended in {found.status}"
            again.append(found)
        return again

    def _measure(self, cell: Cell) -> StoredCell:
        draws = cell.settings
        fresh = replace(cell, settings=replace(draws, look=1, rows=MORE * draws.rows, elements=MORE * draws.elements))
        store = Store(self.new.store.folder / "second-look")
        steady_host(cell.place.threads)
        run_cells([fresh], store, Progress())
        return Run(store).read(store.cells / f"{fresh.part()}.parquet")


def _as_cell(stored: StoredCell) -> Cell | str:
    """The cell that would measure these numbers again, or why the installed code would not."""
    settings: Any = stored.settings
    try:
        (estimator,) = ESTIMATORS.select([settings["estimator"]])
        (task,) = TASKS.select([settings["task"]])
        cell = _cell(estimator, task, settings)
        device_from(cell.device)
        changed = sorted(key for key, value in cell.recipe().items() if settings.get(key) != value)
    except (UsageError, KeyError, TypeError, ImportError, OSError) as error:
        return f"one look only: {error}"
    return f"one look only: other code than NEW's is installed ({', '.join(changed)})" if changed else cell


def _cell(estimator: Name, task: Name, settings: dict[str, Any]) -> Cell:
    place = Place(device=settings["device"], threads=settings["threads"], data=settings["data"])
    draws = DrawSettings(**settings["settings"])
    return Cell(estimator=estimator, task=task, source=DRAWS, seed=settings["seed"], place=place, settings=draws)
