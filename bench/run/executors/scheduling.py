"""The order of units, and second tries when a process is lost: the same on every executor."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from ...store.store import Store
from ..cell import Cell
from ..runner import Ended, Outcome, Progress, Unit, measure_unit, store_lost, unfinished, units
from .process import Lost


class Workers(Protocol):
    """Measures units in parallel. Each ends with outcomes, their parts stored, or Lost.

    slots: how many units at the same time; lone_slots: how many of sources that need the machine to themselves.
    tries: how many times a cell is tried when its process is lost.
    """

    slots: int
    tries: int

    @property
    def lone_slots(self) -> int: ...

    def submit(self, unit: Unit) -> None: ...

    def ended(self) -> list[tuple[Unit, Ended | Lost]]:
        """Wait until at least one submitted unit has ended."""

    def close(self) -> None:
        """End all processes; units in flight are lost."""


def run_beside(
    cells: Sequence[Cell], store: Store, progress: Progress, fresh: bool, workers: Workers
) -> dict[str, int]:
    """`run_cells` on these workers: first the cells that may run in parallel, then those of `alone` sources."""
    counts: Counter[str] = Counter()
    todo = list(units(unfinished(cells, store, progress, fresh, counts)))
    alone = [unit for unit in todo if unit[0].source.alone]
    others = [unit for unit in todo if not unit[0].source.alone]
    for batch, slots in ((others, workers.slots), (alone, workers.lone_slots)):
        for cell, (status, reason, seconds) in _measure(batch, slots, store, progress, workers):
            counts[status] += 1
            progress.end(cell, status, reason, seconds)
    return dict(counts)


def measure_apart(workers: Workers, unit: Unit, store: Store, progress: Progress) -> Ended:
    """Measure a unit in this process if all of its code is built in, and by the workers otherwise."""
    if not unit or not unit[0].loads:
        return measure_unit(unit, store, progress)
    return list(_measure([unit], 1, store, progress, workers))


def _measure(
    batch: list[Unit], slots: int, store: Store, progress: Progress, workers: Workers
) -> Iterator[tuple[Cell, Outcome]]:
    """Every cell and its outcome, in the order in which they end.

    Timings that lose their process together are measured again one by one. A cell that loses its process `tries` times
    is stored as an error; the other cells are not affected.
    """
    waiting, running = deque(batch), 0
    lost: Counter[Unit] = Counter()
    while waiting or running:
        while waiting and running < slots:
            unit = waiting.popleft()
            for cell in unit:
                progress.begin(cell)
            workers.submit(unit)
            running += 1
        for unit, end in workers.ended():
            running -= 1
            if not isinstance(end, Lost):
                yield from end
            elif len(unit) > 1:
                waiting.extend((cell,) for cell in unit)
            elif end.again and lost[unit] + 1 < workers.tries:
                lost[unit] += 1
                waiting.append(unit)
            else:
                yield unit[0], store_lost(unit[0], end.reason, store)
