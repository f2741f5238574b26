"""One thing timed block by block: warmed up, grouped where short, throttled blocks kept apart and measured again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator

from ....estimators.counting import CountedObjective
from ...statistics import intervals as st
from ..costs import Costs
from ..settings import ClockSettings
from . import accelerator
from .clock import Timeline, add_up, clock_for
from .telemetry import Reading, Telemetry

WARM_SECONDS, GROUPED_BELOW, AGAIN = 0.025, 20.0, 3


@dataclass(frozen=True)
class Timed:
    """What is timed: `call` marks its phases and ends with "end"; `per` draws or steps are made by a call.

    gradient: one gradient without marks or optimiser, drawing from the generator given. costs, f: the deterministic
    costs of a training step's gradient, and its calls of f; toys have theirs from their draws.
    """

    call: Callable[[Timeline], None]
    gradient: Callable[[Generator | None], Any]
    per: int
    costs: Costs | None = None
    f: CountedObjective | None = None


@dataclass(frozen=True)
class Block:
    """One estimator's share of one round. Microseconds a repetition: by phase, to enqueue, and until all was done."""

    spans: list[dict[str, float]]
    enqueue: float
    host: float
    reading: Reading | None

    @property
    def throttled(self) -> tuple[str, ...]:
        return self.reading.throttled if self.reading else ()

    @property
    def median(self) -> float:
        return float(np.median([span["total"] for span in self.spans]))


@dataclass(frozen=True)
class Timings:
    """phase -> microseconds [repetitions], and "total"; per draw on toys, per optimiser step on VAEs.

    They are those of `blocks`, of which throttled ones are left out unless there are no others. calls: how many make
    one repetition. extras: what only an accelerator tells, a number, its repetitions, or the reason why not.
    """

    phases: dict[str, np.ndarray]
    blocks: list[Block]
    throttled: list[Block]
    calls: int
    stop_reason: str
    asynchronous: bool
    extras: dict[str, float | np.ndarray | str] = field(default_factory=dict)
    costs: Costs | None = None
    f: CountedObjective | None = None


class Stopwatch:
    """Times one of a group, block by block; warmed up when made.

    A block takes about seconds / rounds, and at least repetitions / rounds repetitions. Caches are hot: one call before
    each block is not counted. Throttled blocks are kept apart and measured again, at most AGAIN times.
    """

    def __init__(
        self,
        timed: Timed,
        device: torch.device,
        settings: ClockSettings,
        telemetry: Telemetry,
        earlier: Sequence[Block] = (),
    ) -> None:
        self.timed, self.device, self.settings, self.telemetry = timed, device, settings, telemetry
        self.clock = clock_for(device)
        self.timeline = Timeline(self.clock)
        self.clean = [block for block in earlier if not block.throttled]
        self.throttled = [block for block in earlier if block.throttled]
        once = self._warm_up()
        self.calls = max(1, math.ceil(GROUPED_BELOW / once))
        share = 1e6 * settings.seconds / settings.rounds / (self.calls * once)
        self.repetitions = max(math.ceil(settings.repetitions / settings.rounds), int(share))

    def block(self) -> Block:
        """One round's share; one sync, after it."""
        self._call(1)
        before = self.telemetry.read()
        start = time.perf_counter()
        self._call(self.calls * self.repetitions, sync=False)
        enqueued = time.perf_counter()
        calls = self.timeline.read_calls()
        finished = time.perf_counter()
        after = self.telemetry.read()
        spans = [add_up(calls[k : k + self.calls]) for k in range(0, self.calls * self.repetitions, self.calls)]
        draws = self.calls * self.timed.per
        spans = [{phase: span / draws for phase, span in (s | {"total": sum(s.values())}).items()} for s in spans]
        scale = 1e6 / (self.repetitions * draws)
        reading = before if before is not None and before.throttled else after
        block = Block(spans, scale * (enqueued - start), scale * (finished - start), reading)
        (self.throttled if block.throttled else self.clean).append(block)
        return block

    def stop_reason(self) -> str:
        """Why no more blocks are needed; "" while they are.

        "precise" once half of the rounds and the asked repetitions gave a median with a narrow enough interval.
        """
        if len(self.clean) >= self.settings.rounds:
            return "budget"
        if len(self.clean) + len(self.throttled) >= self.settings.rounds + AGAIN:
            return "throttled"
        totals = [span["total"] for block in self.clean for span in block.spans]
        if 2 * len(self.clean) >= self.settings.rounds and len(totals) >= self.settings.repetitions:
            figure = st.median(np.array(totals))
            if figure.hi - figure.lo <= 2 * self.settings.precision * figure.value:
                return "precise"
        return ""

    def timings(self) -> Timings:
        blocks = self.clean or self.throttled
        spans = [span for block in blocks for span in block.spans]
        phases = {phase: np.array([span[phase] for span in spans]) for phase in spans[0]}
        extras = self._extras() if self.clock.asynchronous else {}
        costs, f = self.timed.costs, self.timed.f
        why = self.stop_reason()
        return Timings(phases, blocks, self.throttled, self.calls, why, self.clock.asynchronous, extras, costs, f)

    def _warm_up(self) -> float:
        """At least `warmup` calls and WARM_SECONDS, then microseconds a call over five more; never 0."""
        start = time.perf_counter()
        made = 0
        while made < self.settings.warmup or time.perf_counter() - start < WARM_SECONDS:
            self._call(1)
            made += 1
        start = time.perf_counter()
        self._call(5)
        return max(1.0, 1e6 * (time.perf_counter() - start) / 5)

    def _call(self, count: int, sync: bool = True) -> None:
        for _ in range(count):
            self.timed.call(self.timeline)
        if sync:
            self.timeline.read()

    def _extras(self) -> dict[str, float | np.ndarray | str]:
        """Each in a pass of its own after the timing; the reason where one cannot be had."""

        def gradient() -> None:
            self.timed.gradient(None)

        passes: dict[str, Callable[[], float | np.ndarray]] = {
            "memory_peak": lambda: accelerator.peak_memory(lambda: self._call(1), self.device),
            "launches": lambda: accelerator.launches(gradient, self.device),
            "time_replay": lambda: accelerator.replay_times(gradient, self.clock, self.device) / self.timed.per,
        }
        extras: dict[str, float | np.ndarray | str] = {}
        for name, measure in passes.items():
            try:
                extras[name] = measure()
            except Exception as error:
                extras[name] = f"{type(error).__name__}: {error}"
        return extras
