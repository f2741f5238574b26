"""Wall-clock time per phase."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import Row, row
from ..sources.timing.stopwatch import Timings
from ..statistics import intervals as st
from .collector import Collector

HOST_BOUND = 0.9


class Time(Collector):
    """The median time of each phase and of the whole, with its order-statistic interval, caches hot.

    Also how it was measured (rounds, calls per repetition, throttled blocks). On an accelerator also the host's time
    until everything was enqueued and until everything was done, whether the first is nearly the second (host_bound: the
    device waited for Python), clock, temperature and power, peak memory, kernel launches, and the time of a graph
    replay of one gradient.
    """

    name = "time"
    source = "clock"

    def rows(self, measured: Timings) -> Iterator[Row]:
        slowed = sorted({reason for block in measured.throttled for reason in block.throttled})
        fate = {"status": "throttled", "reason": ", ".join(slowed)} if measured.blocks is measured.throttled else {}
        medians = [block.median for block in measured.blocks]
        for phase, microseconds in measured.phases.items():
            blocks = medians if phase == "total" else None
            quantity = st.median(microseconds)
            lower = row(f"time_{phase}", quantity, len(microseconds), unit="us", direction="lower", blocks=blocks)
            yield lower | fate
        how = f"{measured.stop_reason}; caches hot"
        yield row("rounds", len(medians), len(measured.phases["total"]), reason=how)
        yield row("calls", measured.calls, 1)
        if measured.throttled:
            again = [block.median for block in measured.throttled]
            yield row("time_throttled", float(np.median(again)), len(again), unit="us", reason=", ".join(slowed))
        if measured.asynchronous:
            yield from _host(measured)
            yield from _readings(measured)
            yield from _extras(measured)


def _host(measured: Timings) -> Iterator[Row]:
    enqueue, host = (np.array([getattr(block, name) for block in measured.blocks]) for name in ("enqueue", "host"))
    yield row("time_enqueue", st.median(enqueue), len(enqueue), unit="us", direction="lower")
    yield row("time_host", st.median(host), len(host), unit="us", direction="lower")
    yield row("host_bound", float(np.median(enqueue) >= HOST_BOUND * np.median(host)), len(host))


def _readings(measured: Timings) -> Iterator[Row]:
    readings = [block.reading for block in measured.blocks if block.reading is not None]
    if readings:
        for metric, unit in (("clock", "MHz"), ("temperature", "C"), ("power", "W")):
            value = float(np.median([getattr(reading, metric) for reading in readings]))
            yield row(f"device_{metric}", value, len(readings), unit=unit)


def _extras(measured: Timings) -> Iterator[Row]:
    units = {"memory_peak": "bytes", "time_replay": "us"}
    for metric, value in measured.extras.items():
        if isinstance(value, str):
            yield row(metric, float("nan"), 0, status="unsupported", reason=value)
        else:
            samples = np.atleast_1d(value)
            quantity = st.median(samples) if len(samples) > 1 else float(samples[0])
            yield row(metric, quantity, len(samples), unit=units.get(metric, ""), direction="lower")
