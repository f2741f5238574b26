"""Runs a plan: reuses finished cells, measures the others (timings of a task together), records what happens."""

from __future__ import annotations

import itertools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...estimators.contract import Unsupported
from ...estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from ...tasks.contract import Task
from ..rows import Row, outcome, row
from ..sources.draws import Layers, draw_gradients
from ..sources.timing.journal import Journal
from ..sources.timing.stopwatch import Timed
from ..sources.timing.timing import time_group, timed_draws, timed_steps
from ..sources.training.checkpoint import Checkpoint
from ..sources.training.training import Diverged, Point, train
from ..store.files import Unwritable
from ..store.store import Store
from .cells import Cell
from .guard import Guard


@dataclass
class Progress:
    """What the caller is told: a cell begins, is part done (0 to 1), ends with its status and seconds; and in words."""

    begin: Callable[[Cell], None] = field(default=lambda cell: None)
    tick: Callable[[float], None] = field(default=lambda fraction: None)
    end: Callable[[Cell, str, str, float], None] = field(default=lambda cell, status, reason, seconds: None)
    say: Callable[[str], None] = field(default=lambda text: None)


Result = tuple[str, list[Row]] | Exception
Outcome = tuple[str, str, float]
"""A cell's status, the reason where it is not ok and what its guard tells, and the seconds it took."""

Unit = tuple[Cell, ...]
"""What is measured together: one cell of draws or training, or interleaved timings on one task."""

Ended = list[tuple[Cell, Outcome]]


def run_cells(cells: Sequence[Cell], store: Store, progress: Progress, fresh: bool = False) -> dict[str, int]:
    """Measure every cell that is not finished in the store; returns how many ended in each state.

    A failing plugin never stops the run: its cell is stored as `error` with its traceback, and tried again next time.
    """
    counts: Counter[str] = Counter()
    if fresh:
        forget_timings(store)
    for unit in units(cells):
        todo = unfinished(unit, store, progress, fresh, counts)
        for cell, (status, reason, seconds) in measure_unit(todo, store, progress):
            counts[status] += 1
            progress.end(cell, status, reason, seconds)
    return dict(counts)


def units(cells: Iterable[Cell]) -> Iterator[Unit]:
    """Consecutive timings on one task are one unit, every other cell is its own."""
    for _, together in itertools.groupby(cells, key=_round):
        yield tuple(together)


def measure_unit(unit: Sequence[Cell], store: Store, progress: Progress) -> Ended:
    """Measure what is measured together, and store what came of it."""
    if not unit or unit[0].source != "clock":
        return [(cell, attempt(cell, store, progress)) for cell in unit]
    start, journal = time.perf_counter(), _journal(store)
    guards = {cell: Guard(torch.device(cell.device)) for cell in unit}
    results = _time_all(unit, progress, journal, guards)
    seconds = (time.perf_counter() - start) / len(unit)
    ended = [(cell, (*_record(cell, result, store, guards[cell]), seconds)) for cell, result in results.items()]
    journal.clear()
    return ended


def forget_timings(store: Store) -> None:
    """Drop the blocks of timings that an earlier run left in flight."""
    _journal(store).clear()


def _journal(store: Store) -> Journal:
    return Journal(store.folder / "timings-in-flight.jsonl")


def unfinished(
    cells: Iterable[Cell], store: Store, progress: Progress, fresh: bool, counts: Counter[str]
) -> list[Cell]:
    """The cells to measure; the others are counted and told as reused. `fresh` drops what was kept of them all."""
    todo = []
    for cell in cells:
        part = cell.part()
        if not fresh and store.finished(part):
            counts["reused"] += 1
            progress.begin(cell)
            progress.end(cell, "reused", "", 0.0)
            continue
        if fresh and cell.source == "steps":
            Checkpoint(store.checkpoint(part)).clear()
        if aside := store.quarantine(part):
            progress.say(f"damaged, moved to {aside} and measured again: {cell}")
        todo.append(cell)
    return todo


def attempt(cell: Cell, store: Store, progress: Progress) -> Outcome:
    """Measure a cell of draws or training and store what came of it."""
    progress.begin(cell)
    start, guard = time.perf_counter(), Guard(torch.device(cell.device))
    checkpoint = Checkpoint(store.checkpoint(cell.part()) if cell.source == "steps" else None)
    try:
        with guard:
            result: Result = measure_cell(cell, progress.tick, checkpoint)
    except Unwritable:
        raise
    except Exception as error:
        result = error
    if checkpoint.damaged:
        progress.say(f"its checkpoint was damaged, so it was trained from the start: {cell}")
    status, reason = _record(cell, result, store, guard)
    checkpoint.clear()
    return status, reason, time.perf_counter() - start


def _round(cell: Cell) -> Any:
    """Equal for consecutive cells that are measured together: interleaved timings on one task."""
    return (cell.source, cell.task, cell.seed) if cell.source == "clock" else cell


def _time_all(
    cells: Sequence[Cell], progress: Progress, journal: Journal, guards: Mapping[Cell, Guard]
) -> dict[Cell, Result]:
    """Each cell's status and rows, or what it or its task raised."""
    try:
        return time_cells(cells, progress, journal, guards)
    except Unwritable:
        raise
    except Exception as error:
        return dict.fromkeys(cells, error)


def store_lost(cell: Cell, reason: str, store: Store) -> Outcome:
    """Store that nothing came of a cell."""
    store.write(cell.part(), "error", cell.settings(), [_identity(cell) | outcome("error", reason)])
    return "error", reason, 0.0


def _record(cell: Cell, result: Result, store: Store, guard: Guard) -> tuple[str, str]:
    """Store a cell's rows, or the traceback of what it or its collectors raised, and what its guard tells.

    Returns its status and reason.
    """
    settings: dict[str, Any] = {}
    effects = (
        [row("side_effects", len(guard.changed), 1, status="side effects", reason=guard.told)] if guard.told else []
    )
    try:
        settings = cell.settings()
        if isinstance(result, Exception):
            raise result
        status, rows = result
        reason = "" if status == "ok" else rows[-1]["reason"]
        store.write(cell.part(), status, settings, [_identity(cell) | each for each in (*rows, *effects)])
    except Unwritable:
        raise
    except Exception:
        status, reason = "error", traceback.format_exc()
        rows = [outcome(status, reason)]
        store.write(cell.part(), status, settings, [_identity(cell) | each for each in (*rows, *effects)])
    return status, f"{reason.rstrip()}; {guard.told}".removeprefix("; ") if guard.told else reason


def measure_cell(
    cell: Cell, tick: Callable[[float], None], checkpoint: Checkpoint | None = None
) -> tuple[str, list[Row]]:
    """Measure a cell of draws or training: its status and rows. Raises what estimator, task or collector raises."""
    settings, tuned = cell.preset.settings(cell.source), 0
    measured: Any
    try:
        task = build_task(cell)
        layers = build_layers(cell, task)
        if cell.source == "draws":
            measured = draw_gradients(layers, task, settings, cell.seed)  # type: ignore[arg-type]
            tuned = measured.tuned_steps
        else:
            measured = train(task, layers.whole, settings, cell.seed, tick, checkpoint)  # type: ignore[arg-type]
    except Unsupported as reason:
        return "unsupported", [outcome("unsupported", str(reason))]
    except Diverged as end:
        return "diverged", [*_collect("steps", end.points), outcome("diverged", str(end))]
    return "ok", [each | {"tuned_steps": tuned} for each in _collect(cell.source, measured)]


def time_cells(
    cells: Sequence[Cell], progress: Progress, journal: Journal, guards: Mapping[Cell, Guard]
) -> dict[Cell, Result]:
    """Time cells of one task in interleaved rounds, going on from those in the journal. Raises what the task raises."""
    first = cells[0]
    with guards[first]:
        task = build_task(first)
    settings = first.preset.settings("clock")
    results: dict[Cell, Result] = {}
    timed: dict[Cell, Timed] = {}
    for cell in cells:
        progress.begin(cell)
        try:
            with guards[cell]:
                layers = build_layers(cell, task)
                if "draws" in task.sources:
                    timed[cell] = timed_draws(layers, task, settings, cell.seed)  # type: ignore[arg-type]
                else:
                    timed[cell] = timed_steps(task, layers.whole, cell.seed)  # type: ignore[arg-type]
        except Unsupported as reason:
            results[cell] = "unsupported", [outcome("unsupported", str(reason))]
        except Exception as error:
            results[cell] = error
    kept, parts = journal.blocks(), {cell: cell.part() for cell in timed}
    timings = time_group(
        timed,
        torch.device(first.device),
        settings,
        first.seed,
        tick=lambda done: progress.tick(done * len(cells)),
        earlier={cell: kept.get(part, []) for cell, part in parts.items()},
        made=lambda cell, block: journal.add(parts[cell], block),
        around=guards.__getitem__,
    )
    for cell, measured in timings.items():
        try:
            results[cell] = measured if isinstance(measured, Exception) else ("ok", _collect("clock", measured))
            if isinstance(measured, Unsupported):
                results[cell] = "unsupported", [outcome("unsupported", str(measured))]
        except Exception as error:
            results[cell] = error
    return {cell: results[cell] for cell in cells}


def build_task(cell: Cell) -> Task:
    return TASKS.find(cell.task.family).load()(device=torch.device(cell.device), **cell.task.values)


def build_layers(cell: Cell, task: Task) -> Layers:
    cls = ESTIMATORS.find(cell.estimator.family).load()
    return Layers(cls, cell.estimator.values, task, torch.device(cell.device))


def _collect(source: str, measured: Any | list[Point]) -> list[Row]:
    classes = [plugin.load() for plugin in COLLECTORS]
    return [each | {"collector": cls.name} for cls in classes if cls.source == source for each in cls().rows(measured)]


def _identity(cell: Cell) -> Row:
    return {
        "estimator": str(cell.estimator),
        "family": cell.estimator.family,
        "task": str(cell.task),
        "data": cell.data,
        "seed": cell.seed,
        "source": cell.source,
        "device": cell.device,
        "collector": "",
        "tuned_steps": 0,
    }
