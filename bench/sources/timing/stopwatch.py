"""Timing one call in blocks: warmed up, grouped when short, throttled blocks set aside and measured again."""

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
PATIENCE, FEWEST = 10, 2
"""A call is slow if its repetitions would take PATIENCE times the settings' seconds: it gets FEWEST or more a round."""


@dataclass(frozen=True)
class Timed:
    """What is timed: `call` marks its phases and ends with the mark "end"; it makes `per` draws or steps.

    gradient: one gradient without marks or optimiser, from the given generator. costs, f: the deterministic costs of
    the gradient in a training step, and its counted calls of f; None for toys, where the source `draws` measures them.
    """

    call: Callable[[Timeline], None]
    gradient: Callable[[Generator | None], Any]
    per: int
    costs: Costs | None = None
    f: CountedObjective | None = None


@dataclass(frozen=True)
class Block:
    """One estimator's share of one round.

    Microseconds per draw or step. spans: by phase, one dict per repetition. enqueue, host: mean host time until
    everything was enqueued, and until everything was done. reading: the state of the device, if it can be read.
    """

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
    """phases: phase, or "total" -> microseconds [repetitions], per draw on toys and per optimiser step on VAEs.

    blocks: those behind `phases`, without the throttled ones unless all are. calls: how many calls one repetition
    groups. extras: the measurements of an accelerator: a number, one number per repetition, or the reason why it is
    missing.
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
    """Times one estimator of a group in blocks; it warms up when it is created.

    A block takes about seconds / rounds, and at least repetitions / rounds repetitions, fewer if its call is slow. One
    uncounted call before each block heats the caches, except where a call takes so long that it does so itself.
    Throttled blocks are set aside and measured again, at most AGAIN times.
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
        least = math.ceil(settings.repetitions / settings.rounds)
        self.slow = 0 < PATIENCE * share < least
        self.repetitions = max(FEWEST, int(PATIENCE * share)) if self.slow else max(least, int(share))

    def block(self) -> Block:
        """Time one round's share, with one sync after it."""
        if not self.slow:
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
        """Why no more blocks are needed; "" while more are needed.

        "budget": all rounds are done. "throttled": the attempts to replace throttled blocks are used up. "precise":
        half of the rounds and all repetitions are done, and the interval of the median is narrow enough.
        """
        if len(self.clean) >= self.settings.rounds:
            return "budget"
        if len(self.clean) + len(self.throttled) >= self.settings.rounds + AGAIN:
            return "throttled"
        totals = [span["total"] for block in self.clean for span in block.spans]
        if 2 * len(self.clean) >= self.settings.rounds and len(totals) >= self.settings.repetitions:
            median = st.median(np.array(totals))
            if median.hi - median.lo <= 2 * self.settings.precision * median.value:
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
        """Microseconds per call, at least 1, after `warmup` calls and WARM_SECONDS of warming up: over five calls, over
        one if that takes longer than the warming up.
        """
        start = time.perf_counter()
        made = 0
        while made < self.settings.warmup or time.perf_counter() - start < WARM_SECONDS:
            self._call(1)
            made += 1
        start = time.perf_counter()
        self._call(1)
        if (once := time.perf_counter() - start) < WARM_SECONDS:
            self._call(4)
            once = (time.perf_counter() - start) / 5
        return max(1.0, 1e6 * once)

    def _call(self, count: int, sync: bool = True) -> None:
        for _ in range(count):
            self.timed.call(self.timeline)
        if sync:
            self.timeline.read()

    def _extras(self) -> dict[str, float | np.ndarray | str]:
        """Each measured in a pass of its own after the timing, or the reason why it cannot be."""

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
