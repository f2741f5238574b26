"""Runs a plan: reuses finished cells, measures the others one by one, and records whatever happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ..estimators.contract import Unsupported
from ..estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from ..tasks.contract import Task
from .cells import Cell
from .draws import Layers, draw_gradients
from .rows import Row, outcome
from .store import Store
from .timing import time_draws, time_steps
from .training import Diverged, Point, train


@dataclass
class Progress:
    """What the caller is told: a cell begins, is part done (0 to 1), and ends with its status and seconds."""

    begin: Callable[[Cell], None] = field(default=lambda cell: None)
    tick: Callable[[float], None] = field(default=lambda fraction: None)
    end: Callable[[Cell, str, str, float], None] = field(default=lambda cell, status, reason, seconds: None)


def run_cells(cells: list[Cell], store: Store, progress: Progress, fresh: bool = False) -> dict[str, int]:
    """Measure every cell that is not finished in the store; returns how many ended in each state.

    A failing plugin never stops the run: its cell is stored as `error` with its traceback, and tried again next time.
    """
    counts: dict[str, int] = {}
    for cell in cells:
        progress.begin(cell)
        start = time.perf_counter()
        settings, key, reason = {}, cell.part(), ""
        try:
            settings = cell.settings()
            if not fresh and store.finished(key):
                status = "reused"
            else:
                status, rows = measure_cell(cell, progress.tick)
                store.write(key, status, settings, [_identity(cell) | row for row in rows])
                reason = rows[-1]["reason"] if rows else ""
        except Exception:
            status, reason = "error", traceback.format_exc()
            store.write(key, status, settings, [_identity(cell) | outcome(status, reason)])
        counts[status] = counts.get(status, 0) + 1
        progress.end(cell, status, reason, time.perf_counter() - start)
    return counts


def measure_cell(cell: Cell, tick: Callable[[float], None]) -> tuple[str, list[Row]]:
    """Measure one cell: its status and rows. Raises what the estimator, task or collector raises."""
    device = torch.device(cell.device)
    task: Task = TASKS.find(cell.task.family).load()(device=device, **cell.task.values)
    cls = ESTIMATORS.find(cell.estimator.family).load()
    settings, tuned = cell.preset.settings(cell.source), 0
    try:
        layers = Layers(cls, cell.estimator.values, task, device)
        measured: Any
        if cell.source == "draws":
            measured = draw_gradients(layers, task, settings, cell.seed)  # type: ignore[arg-type]
            tuned = measured.tuned_steps
        elif cell.source == "steps":
            measured = train(task, layers.top, settings, cell.seed, tick)  # type: ignore[arg-type]
        elif "draws" in task.sources:
            measured = time_draws(layers, task, settings, cell.seed)  # type: ignore[arg-type]
        else:
            measured = time_steps(task, layers.top, settings, cell.seed)  # type: ignore[arg-type]
    except Unsupported as reason:
        return "unsupported", [outcome("unsupported", str(reason))]
    except Diverged as end:
        return "diverged", [*_collect("steps", end.points), outcome("diverged", str(end))]
    return "ok", [row | {"tuned_steps": tuned} for row in _collect(cell.source, measured)]


def _collect(source: str, measured: Any | list[Point]) -> list[Row]:
    classes = [plugin.load() for plugin in COLLECTORS]
    return [row | {"collector": cls.name} for cls in classes if cls.source == source for row in cls().rows(measured)]


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
