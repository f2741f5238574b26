"""Cells beside each other in local processes: all but timings, which come after them, alone.

A cell's numbers are the same whoever measures it: each process takes the run's thread count, and all that is random in
a cell comes from the cell. Each process stores its own parts, so that only outcomes travel back.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ..estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from .cells import Cell
from .clock import steady_host
from .runner import Outcome, Progress, attempt, run_cells, store_lost, unfinished
from .store import Store

TRIES = 2
REGISTRIES = (ESTIMATORS, TASKS, COLLECTORS)
DIED = "the process that measured it died: it was killed, ran out of memory, or crashed in native code"


def run_beside(
    cells: Sequence[Cell], store: Store, progress: Progress, fresh: bool, jobs: int, threads: int
) -> dict[str, int]:
    """`run_cells` with `jobs` processes of `threads` threads; returns how many cells ended in each state."""
    counts: Counter[str] = Counter()
    todo = unfinished([cell for cell in cells if cell.source != "clock"], store, progress, fresh, counts)
    for cell, (status, reason, seconds) in _measure_beside(todo, store, progress, jobs, threads):
        counts[status] += 1
        progress.end(cell, status, reason, seconds)
    counts.update(run_cells([cell for cell in cells if cell.source == "clock"], store, progress, fresh))
    return dict(counts)


def _measure_beside(
    cells: Sequence[Cell], store: Store, progress: Progress, jobs: int, threads: int
) -> Iterator[tuple[Cell, Outcome]]:
    """Every cell and its outcome, in the order they end.

    When a process dies, the cells in flight are measured again one by one, each in a process of its own: one that kills
    its own TRIES times is stored as an error, and its neighbours are unharmed.
    """
    waiting = deque(cells)
    while waiting:
        in_flight: dict[Future[Outcome], Cell] = {}
        pool = _pool(jobs, threads)
        try:
            while waiting or in_flight:
                while waiting and len(in_flight) < jobs:
                    cell = waiting.popleft()
                    progress.begin(cell)
                    in_flight[pool.submit(_measure, cell, store.folder)] = cell
                for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield in_flight.pop(future), outcome
        except BrokenProcessPool:
            for cell in in_flight.values():
                yield cell, _measure_alone(cell, store, threads)
        finally:
            _end(pool)


def _measure_alone(cell: Cell, store: Store, threads: int) -> Outcome:
    for _ in range(TRIES):
        pool = _pool(1, threads)
        try:
            return pool.submit(_measure, cell, store.folder).result()
        except BrokenProcessPool:
            continue
        finally:
            _end(pool)
    return store_lost(cell, DIED, store)


def _pool(jobs: int, threads: int) -> ProcessPoolExecutor:
    files = {plugin.path for registry in REGISTRIES for plugin in registry.extra.values() if plugin.path is not None}
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, spawn, _start, (threads, sorted(files)))


def _end(pool: ProcessPoolExecutor) -> None:
    """Leave no process behind, however the run ends; what is in flight then is lost."""
    processes = multiprocessing.active_children()
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def _start(threads: int, plugin_files: list[Path]) -> None:
    """What a process does first. An interrupt is its parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    steady_host(threads)
    for path in plugin_files:
        for registry in REGISTRIES:
            registry.add_file(path)


def _measure(cell: Cell, folder: Path) -> Outcome:
    return attempt(cell, Store(folder), Progress())
