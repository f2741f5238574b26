"""A second look: doubtful cells of NEW, measured again with four times as many draws, all fresh."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...estimators.names import Name, UsageError
from ...estimators.registry import ESTIMATORS, TASKS
from ..run.cell import Cell, Place
from ..run.executors import HERE
from ..run.runner import Progress
from ..sources import DRAWS
from ..sources.settings import DrawSettings
from ..sources.timing.clock import device_from, steady_host
from ..store.store import Store
from .runs import Run, StoredCell, Subject

MORE = 4
_LAST_SEED = 2**63 - 1


@dataclass
class SecondLook:
    """Measures cells again, if the installed code is the code that NEW was measured with.

    The fresh cells are stored in second-look/ within NEW and reused; among NEW's cells they would be counted twice.
    """

    new: Run
    say: Callable[[str], None]

    def __call__(self, subject: Subject) -> list[StoredCell] | str:
        """The subject's cells with fresh draws only, or the reason why there are none."""
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
        HERE.run([fresh], store, Progress())
        return Run(store).read(store.cells / f"{fresh.part()}.parquet")


def _as_cell(stored: StoredCell) -> Cell | str:
    """The cell that would measure these numbers again, or the reason why the installed code cannot."""
    settings: Any = stored.settings
    try:
        cell = _cell(settings)
        device_from(cell.device)
        changed = sorted(key for key, value in cell.recipe().items() if settings.get(key) != value)
    except (UsageError, KeyError, TypeError, ImportError, OSError) as error:
        return f"one look only: {error}"
    return f"one look only: the installed code is not that of NEW ({', '.join(changed)})" if changed else cell


def _cell(settings: dict[str, Any]) -> Cell:
    """The cell of a stored recipe, which may come from anyone: nothing larger than the paper preset is measured.

    Raises UsageError, and KeyError or TypeError where something is missing.
    """
    draws, paper = settings["settings"], asdict(DRAWS.presets["paper"])
    for key, most in (paper | {"threads": os.cpu_count() or 1, "seed": _LAST_SEED}).items():
        value = (draws if key in paper else settings)[key]
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise UsageError(f"its stored {key} is {value!r}; a second look takes 0 to {most}")
    for key in ("estimator", "task", "device", "data"):
        if not isinstance(settings[key], str):
            raise UsageError(f"its stored {key} is {settings[key]!r}, which is not a text")
    return Cell(
        estimator=ESTIMATORS.canonical(Name.parse(settings["estimator"])),
        task=TASKS.canonical(Name.parse(settings["task"])),
        source=DRAWS,
        seed=settings["seed"],
        place=Place(device=settings["device"], threads=settings["threads"], data=settings["data"]),
        settings=DrawSettings(**draws),
    )
