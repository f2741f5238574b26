"""The source `clock`: time per phase, estimators interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..settings import ClockSettings
from ..source import Hooks, Result, S, Source

if TYPE_CHECKING:
    from ...store.store import Store
    from .block_journal import Journal


class Timing(Source):
    """`Timings` of a gradient draw on a toy, or of a training step; a journal keeps the blocks until all are done."""

    name = "clock"
    label = "timing"
    presets = {
        "quick": ClockSettings(),
        "standard": ClockSettings(warmup=20, repetitions=200, rounds=10, seconds=1.0),
        "paper": ClockSettings(warmup=50, repetitions=1000, rounds=20, seconds=5.0),
    }
    size = "repetitions"
    typical_seconds = 0.8
    code = "bench/sources/timing/timing.py"
    seeded = False
    together = True
    alone = True

    def in_flight(self, store: Store, part: str) -> Journal:
        from .block_journal import Journal

        return Journal(store.folder / "timings-in-flight.jsonl")

    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        from .timing import time_together

        return time_together(subjects, hooks)


CLOCK = Timing()
