"""Which unit is measured when, and again when its process is lost: the same on every executor."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...store.store import Store
from ..cells import Cell
from ..runner import Ended, Outcome, Progress, Unit, store_lost, unfinished, units


@dataclass(frozen=True)
class Lost:
    """Why a unit came back without outcomes, and whether it is worth another try."""

    reason: str
    again: bool = True


class Workers(Protocol):
    """Measures units beside each other, each to its outcomes, stored, or Lost.

    slots: how many units at once; lone_slots: how many of sources that want the machine alone.
    tries: how often a cell may lose its process.
    """

    slots: int
    tries: int

    @property
    def lone_slots(self) -> int: ...

    def submit(self, unit: Unit) -> None: ...

    def ended(self) -> list[tuple[Unit, Ended | Lost]]:
        """Waits until some submitted units have ended."""

    def close(self) -> None:
        """Leaves no process behind; what is in flight is lost."""


def run_beside(
    cells: Sequence[Cell], store: Store, progress: Progress, fresh: bool, workers: Workers
) -> dict[str, int]:
    """`run_cells` by these workers: first what may run side by side, then what wants the machine alone."""
    counts: Counter[str] = Counter()
    todo = list(units(unfinished(cells, store, progress, fresh, counts)))
    alone = [unit for unit in todo if unit[0].source.alone]
    others = [unit for unit in todo if not unit[0].source.alone]
    for batch, slots in ((others, workers.slots), (alone, workers.lone_slots)):
        for cell, (status, reason, seconds) in _measure(batch, slots, store, progress, workers):
            counts[status] += 1
            progress.end(cell, status, reason, seconds)
    return dict(counts)


def _measure(
    batch: list[Unit], slots: int, store: Store, progress: Progress, workers: Workers
) -> Iterator[tuple[Cell, Outcome]]:
    """Every cell and its outcome, in the order they end.

    Timings that lose their process together are made again one by one; a cell that loses its own `tries` times is
    stored as an error. Its neighbours are unharmed.
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
