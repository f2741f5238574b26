"""Clocks: marks on a timeline, read after a block. The only module that uses the events of accelerators."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from ....estimators.names import UsageError


class Clock(Protocol):
    """Marks moments, and converts them to microseconds after the block, in one sync.

    asynchronous: whether the host runs ahead of the device, so that enqueueing takes a time of its own.
    """

    asynchronous: bool

    def mark(self) -> Any:
        """The present moment on the clock's device."""

    def read(self, marks: list[Any]) -> list[float]:
        """Microseconds from each mark to the next, len(marks) - 1 of them."""


class CpuClock:
    """The host's monotonic clock."""

    asynchronous = False

    def mark(self) -> int:
        return time.perf_counter_ns()

    def read(self, marks: list[int]) -> list[float]:
        return [(after - before) / 1e3 for before, after in itertools.pairwise(marks)]


class EventClock:
    """Device events on the current stream, taken from a pool; no sync until a block is read."""

    asynchronous = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool: list[Any] = []

    def mark(self) -> Any:
        event = self.pool.pop() if self.pool else torch.Event(self.device, enable_timing=True)
        event.record(torch.accelerator.current_stream(self.device))
        return event

    def read(self, marks: list[Any]) -> list[float]:
        torch.accelerator.synchronize(self.device)
        spans = [1e3 * before.elapsed_time(after) for before, after in itertools.pairwise(marks)]
        self.pool.extend(marks)
        return spans


def clock_for(device: torch.device) -> Clock:
    """The clock that measures work on this device."""
    return CpuClock() if device.type == "cpu" else EventClock(device)


class Timeline:
    """Labelled marks of consecutive calls: each `mark(phase)` ends the phase before it, and "end" ends the call.

    A phase may occur more than once in a call; its time is the sum.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.phases: list[str] = []
        self.marks: list[Any] = []

    def mark(self, phase: str) -> None:
        self.phases.append(phase)
        self.marks.append(self.clock.mark())

    def read_calls(self) -> list[dict[str, float]]:
        """Microseconds in each phase, per call since the last read, in one sync; the last entry is always empty."""
        calls: list[dict[str, float]] = [{}]
        for phase, span in zip(self.phases, self.clock.read(self.marks), strict=False):
            if phase == "end":
                calls.append({})
            else:
                calls[-1][phase] = calls[-1].get(phase, 0.0) + span
        self.phases, self.marks = [], []
        return calls

    def read(self) -> dict[str, float]:
        """Microseconds in each phase since the last read, summed over all calls."""
        return add_up(self.read_calls())


def add_up(calls: list[dict[str, float]]) -> dict[str, float]:
    """The time of each phase, summed over calls."""
    total: dict[str, float] = {}
    for call in calls:
        for phase, span in call.items():
            total[phase] = total.get(phase, 0.0) + span
    return total


def marked(f: Callable[[Any], Any], timeline: Timeline) -> Callable[[Any], Any]:
    """f, with its time marked as the phase "objective" inside the phase "gradient"."""

    def run(z: Any) -> Any:
        timeline.mark("objective")
        value = f(z)
        timeline.mark("gradient")
        return value

    return run


def device_from(name: str) -> torch.device:
    """`auto` is the accelerator if there is one, else the CPU. Raises UsageError when the device is absent."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return accelerator or torch.device("cpu")
    if name != "cpu" and (accelerator is None or accelerator.type != name.split(":")[0]):
        raise UsageError(
            f"no {name} device on this machine (torch sees {accelerator or 'only the CPU'}); use --device cpu"
        )
    return torch.device(name)


def steady_host(threads: int) -> bool:
    """Fix the number of threads, and make glibc's malloc keep freed memory, or else CPU timings vary by a factor of 2.

    Returns whether malloc could be configured; both are recorded in the run's context.
    """
    torch.set_num_threads(threads)
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((m_mmap_threshold, 1 << 30), (m_trim_threshold, 1 << 30), (m_top_pad, 1 << 26))
    return all([mallopt(key, value) for key, value in settings])  # a list, so that one refusal does not stop the others
