"""Runs a plan: reuses finished cells, measures the others, records how they end."""

from __future__ import annotations

import itertools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..rows import Row, outcome, row
from ..sources.source import Hooks, Result
from ..store.cell_file import check_rows
from ..store.files import Unwritable
from ..store.store import Store
from .cell import Cell
from .guard import Guard


@dataclass
class Progress:
    """Callbacks that report a run.

    begin: a cell begins. tick: how much of the unit is done, from 0 to its number of cells. end: a cell has ended, with
    its status, reason and seconds. say: a sentence for the user.
    """

    begin: Callable[[Cell], None] = field(default=lambda cell: None)
    tick: Callable[[float], None] = field(default=lambda fraction: None)
    end: Callable[[Cell, str, str, float], None] = field(default=lambda cell, status, reason, seconds: None)
    say: Callable[[str], None] = field(default=lambda text: None)


Outcome = tuple[str, str, float]
"""A cell's status; its reason when it is not ok, and the summary of its guard; and its seconds."""

Unit = tuple[Cell, ...]
"""The cells measured in one call: a single one, or those of one task and seed whose source measures them together."""

Ended = list[tuple[Cell, Outcome]]


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    progress: Progress,
    fresh: bool = False,
    measure: Callable[[Unit, Store, Progress], Ended] | None = None,
) -> dict[str, int]:
    """Measure every cell that is not finished in the store, or every cell if `fresh`; returns counts by status.

    measure: how a unit is measured, by default by `measure_unit`, in this process.

    A failing plugin never stops the run: its cell is stored as `error` with the traceback, and the next run measures it
    again. Raises Unwritable.
    """
    counts: Counter[str] = Counter()
    for unit in units(cells):
        todo = tuple(unfinished(unit, store, progress, fresh, counts))
        for cell, (status, reason, seconds) in (measure or measure_unit)(todo, store, progress):
            counts[status] += 1
            progress.end(cell, status, reason, seconds)
    return dict(counts)


def units(cells: Iterable[Cell]) -> Iterator[Unit]:
    """The cells in their order, grouped into units, which have third-party code of the same origins, or none."""
    for together in rounds(cells):
        of_origins: dict[frozenset[str], list[Cell]] = {}
        for cell in together:
            of_origins.setdefault(cell.origins, []).append(cell)
        yield from map(tuple, of_origins.values())


def rounds(cells: Iterable[Cell]) -> Iterator[Unit]:
    """The cells in their order, those together whose source measures them together."""

    def round_of(cell: Cell) -> Any:
        return (cell.source, cell.task, cell.seed) if cell.source.together else cell

    for _, together in itertools.groupby(cells, key=round_of):
        yield tuple(together)


def unfinished(
    cells: Iterable[Cell], store: Store, progress: Progress, fresh: bool, counts: Counter[str]
) -> list[Cell]:
    """The cells to measure; the others are counted and reported as reused.

    With `fresh` all cells are measured, and the state of unfinished ones is deleted.
    """
    todo = []
    for cell in cells:
        part = cell.part()
        if not fresh and store.finished(part):
            counts["reused"] += 1
            progress.begin(cell)
            progress.end(cell, "reused", "", 0.0)
            continue
        if fresh:
            cell.source.in_flight(store, part).clear()
        if aside := store.quarantine(part):
            progress.say(f"damaged, moved to {aside} and measured again: {cell}")
        todo.append(cell)
    return todo


def measure_unit(unit: Sequence[Cell], store: Store, progress: Progress) -> Ended:
    """Measure a unit and store its parts. Raises Unwritable."""
    if not unit:
        return []
    source, start = unit[0].source, time.perf_counter()
    in_flight = source.in_flight(store, unit[0].part())
    guards = {cell: Guard(torch.device(cell.device)) for cell in unit}
    results = source.measure(unit, Hooks(progress.begin, progress.tick, progress.say, guards.__getitem__, in_flight))
    recorded = {cell: _record(cell, result, store, guards[cell]) for cell, result in results.items()}
    in_flight.clear()
    seconds = (time.perf_counter() - start) / len(unit)
    return [(cell, (*recorded[cell], seconds)) for cell in unit]


def store_lost(cell: Cell, reason: str, store: Store) -> Outcome:
    """Store a cell as an error that has no numbers."""
    store.write(cell.part(), "error", cell.recipe(), [_identity(cell) | outcome("error", reason)])
    return "error", reason, 0.0


def _record(cell: Cell, result: Result, store: Store, guard: Guard) -> tuple[str, str]:
    """Store a cell's rows, or the traceback of its exception, and its guard's summary; returns status and reason.

    A collector that raises makes the cell an error, and the rows of the other collectors are kept.
    """
    recipe: dict[str, Any] = {}

    def write(status: str, reason: str, rows: Sequence[Row]) -> None:
        ends = [] if status == "ok" else [outcome(status, reason)]
        if guard.summary:
            ends.append(row("side_effects", len(guard.changed), 1, status="side effects", reason=guard.summary))
        store.write(cell.part(), status, recipe, [_identity(cell) | each for each in (*rows, *ends)])

    try:
        recipe = cell.recipe()
        if isinstance(result, Exception):
            raise result
        status, reason, tuned = result.status, result.reason, {"tuned_steps": result.tuned_steps}
        rows: list[Row] = []
        for collector in cell.collectors if result.measured is not None else ():
            try:
                with guard:
                    found = [each | {"collector": collector.name} for each in collector.load()().rows(result.measured)]
                    check_rows(found)
            except Exception:
                status, reason = "error", f"the collector {collector.name} failed:\n{traceback.format_exc()}"
            else:
                rows += found
        write(status, reason, [each | tuned for each in rows])
    except Unwritable:
        raise
    except Exception:
        status, reason = "error", traceback.format_exc()
        write(status, reason, [])
    return status, f"{reason.rstrip()}; {guard.summary}".removeprefix("; ") if guard.summary else reason


def _identity(cell: Cell) -> Row:
    return {
        "estimator": str(cell.estimator),
        "family": cell.estimator.family,
        "task": str(cell.task),
        "data": cell.place.data,
        "seed": cell.seed,
        "source": cell.source.name,
        "device": cell.place.device,
        "collector": "",
        "tuned_steps": 0,
    }
