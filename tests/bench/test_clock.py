"""Clocks, shown without an accelerator: a scripted clock, and events that fail when they are misused."""

from __future__ import annotations

import ast
import ctypes
import gc
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dvae_bench
import pytest
import torch
from dvae_bench.bench.sources.timing import clock as clocks
from dvae_bench.bench.sources.timing.clock import (
    CpuClock,
    EventClock,
    Timeline,
    clock_for,
    device_from,
    marked,
    steady_host,
)
from dvae_bench.bench.sources.timing.rounds import without_collection
from dvae_bench.estimators.names import UsageError

ROOT = Path(dvae_bench.__file__).parent
FOLDERS = ("commands", "bench", "estimators", "tasks")
FILES = [ROOT / "cli.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
KNOWN = {
    "bench/sources/timing/clock.py",
    "bench/sources/timing/telemetry.py",
    "bench/sources/capture.py",
    "bench/run/process_state.py",
    "tasks/vae/speed.py",
}


class ScriptedClock:
    """Marks come at the given times, in microseconds."""

    asynchronous = False

    def __init__(self, *times: float) -> None:
        self.times = iter(times)

    def mark(self) -> float:
        return next(self.times)

    def read(self, marks: list[float]) -> list[float]:
        return [after - before for before, after in itertools.pairwise(marks)]


class FakeAccelerator:
    """A device whose n-th recorded event lies n² milliseconds after the first; it notes every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.made = self.recorded = 0
        self.stream = object()

    def current_stream(self, device: torch.device) -> object:
        return self.stream

    def synchronize(self, device: torch.device) -> None:
        self.calls.append("synchronize")

    def event(self, device: torch.device, enable_timing: bool) -> FakeEvent:
        assert enable_timing, "an event without timing cannot be read"
        self.made += 1
        return FakeEvent(self)


class FakeEvent:
    """Fails when recorded off the current stream, read before a sync, or read twice as the same span."""

    def __init__(self, accelerator: FakeAccelerator) -> None:
        self.accelerator = accelerator
        self.at: int | None = None

    def record(self, stream: object) -> None:
        assert stream is self.accelerator.stream, "recorded on another stream"
        self.at, self.was_read = self.accelerator.recorded**2, False
        self.accelerator.recorded += 1
        self.accelerator.calls.append("record")

    def elapsed_time(self, after: FakeEvent) -> float:
        assert "record" not in self.accelerator.calls[self._last_sync() :], "read before a sync"
        assert not self.was_read, "read twice"
        assert self.at is not None and after.at is not None, "read before it was recorded"
        self.was_read = True
        return float(after.at - self.at)

    def _last_sync(self) -> int:
        calls = self.accelerator.calls
        return len(calls) - calls[::-1].index("synchronize") if "synchronize" in calls else 0


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> FakeAccelerator:
    fake = FakeAccelerator()
    monkeypatch.setattr(clocks.torch, "Event", fake.event)
    monkeypatch.setattr(clocks.torch.accelerator, "current_stream", fake.current_stream)
    monkeypatch.setattr(clocks.torch.accelerator, "synchronize", fake.synchronize)
    return fake


@pytest.fixture
def event_clock(accelerator: FakeAccelerator) -> EventClock:
    clock = clock_for(torch.device("cuda"))
    assert isinstance(clock, EventClock)
    return clock


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class TestTimeline:
    def test_each_mark_ends_the_phase_before_it(self) -> None:
        timeline = Timeline(ScriptedClock(10, 13, 20, 21))
        for phase in ("encode", "sample", "gradient", "end"):
            timeline.mark(phase)
        assert timeline.read() == {"encode": 3, "sample": 7, "gradient": 1}

    def test_a_repeated_phase_is_summed(self) -> None:
        timeline = Timeline(ScriptedClock(0, 1, 11, 14, 114, 115))
        for phase in ("gradient", "objective", "gradient", "objective", "gradient", "end"):
            timeline.mark(phase)
        assert timeline.read() == {"gradient": 1 + 3 + 1, "objective": 10 + 100}

    def test_a_read_starts_afresh(self) -> None:
        timeline = Timeline(ScriptedClock(0, 1, 50, 52))
        timeline.mark("a"), timeline.mark("end")
        assert timeline.read() == {"a": 1}
        timeline.mark("b"), timeline.mark("end")
        assert timeline.read() == {"b": 2}

    def test_calls_of_a_block_are_read_apart(self) -> None:
        timeline = Timeline(ScriptedClock(0, 1, 3, 100, 104, 105, 105))
        for phase in ("sample", "gradient", "end", "sample", "gradient", "sample", "end"):
            timeline.mark(phase)
        assert timeline.read_calls() == [{"sample": 1, "gradient": 2}, {"sample": 4, "gradient": 1}]

    def test_without_marks_there_are_no_spans(self) -> None:
        assert Timeline(ScriptedClock()).read() == {}

    def test_marked_puts_the_objective_inside_the_gradient(self) -> None:
        timeline = Timeline(ScriptedClock(0, 1, 11, 14))
        timeline.mark("gradient")
        assert marked(lambda z: z + 1, timeline)(41) == 42
        timeline.mark("end")
        assert timeline.read() == {"gradient": 4, "objective": 10}


class TestEventClock:
    def test_spans_are_microseconds_from_one_sync(self, event_clock: EventClock, accelerator: FakeAccelerator) -> None:
        marks = [event_clock.mark() for _ in range(4)]
        assert accelerator.calls == ["record"] * 4, "marking must not wait for the device"
        assert event_clock.read(marks) == [1e3, 3e3, 5e3]
        assert accelerator.calls == ["record"] * 4 + ["synchronize"]

    def test_events_come_from_a_pool(self, event_clock: EventClock, accelerator: FakeAccelerator) -> None:
        for _ in range(3):
            event_clock.read([event_clock.mark() for _ in range(4)])
        assert accelerator.made == 4

    def test_no_event_is_handed_out_twice_before_a_read(self, event_clock: EventClock) -> None:
        event_clock.read([event_clock.mark() for _ in range(4)])
        again = [event_clock.mark() for _ in range(6)]
        assert len(set(map(id, again))) == 6

    def test_marks_follow_the_current_stream(self, event_clock: EventClock, accelerator: FakeAccelerator) -> None:
        event_clock.mark()
        accelerator.stream = object()
        event_clock.mark()

    def test_a_timeline_reads_it(self, event_clock: EventClock) -> None:
        timeline = Timeline(event_clock)
        for phase in ("sample", "gradient", "sample", "end"):
            timeline.mark(phase)
        assert timeline.read() == {"sample": 1e3 + 5e3, "gradient": 3e3}

    def test_the_fake_is_strict(self, event_clock: EventClock, accelerator: FakeAccelerator) -> None:
        first, second = event_clock.mark(), event_clock.mark()
        with pytest.raises(AssertionError, match="before a sync"):
            first.elapsed_time(second)
        accelerator.synchronize(torch.device("cuda"))
        first.elapsed_time(second)
        with pytest.raises(AssertionError, match="read twice"):
            first.elapsed_time(second)
        with pytest.raises(AssertionError, match="another stream"):
            first.record(object())


class TestRule:
    """Nothing but these two modules names one maker's devices: no attribute, import or device string."""

    @staticmethod
    def names(source: str) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(source)):
            words = [getattr(node, key, None) for key in ("attr", "id", "module", "name", "value")]
            found |= {word for word in words if isinstance(word, str) and re.match(r"(torch\.)?cuda\b", word)}
        return found

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
    def test_no_other_module_names_cuda(self, path: Path) -> None:
        if path.relative_to(ROOT).as_posix() not in KNOWN:
            assert not self.names(path.read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        "code", ["torch.cuda.synchronize()", "import torch.cuda", "from torch import cuda", "x.to('cuda:0')"]
    )
    def test_a_mention_of_cuda_would_be_seen(self, code: str) -> None:
        assert self.names(code)


class TestCpuClock:
    def test_it_never_runs_backwards(self) -> None:
        clock = clock_for(torch.device("cpu"))
        assert isinstance(clock, CpuClock)
        spans = clock.read([clock.mark() for _ in range(1000)])
        assert len(spans) == 999 and min(spans) >= 0

    def test_it_counts_in_microseconds(self) -> None:
        assert CpuClock().read([1_000, 3_500, 3_500]) == [2.5, 0.0]


class TestDevice:
    @pytest.fixture
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def has(name: str | None) -> None:
            found = torch.device(name) if name else None
            monkeypatch.setattr(clocks.torch.accelerator, "current_accelerator", lambda check_available: found)

        return has

    def test_auto_takes_the_accelerator_if_there_is_one(self, machine: Any) -> None:
        machine("cuda")
        assert device_from("auto") == torch.device("cuda")
        machine(None)
        assert device_from("auto") == torch.device("cpu")

    def test_the_cpu_can_always_be_had(self, machine: Any) -> None:
        machine("cuda")
        assert device_from("cpu") == torch.device("cpu")

    def test_one_of_several_accelerators_can_be_chosen(self, machine: Any) -> None:
        machine("cuda")
        assert device_from("cuda:1") == torch.device("cuda:1")

    @pytest.mark.parametrize(
        ("has", "asked", "words"),
        [
            (None, "cuda", r"no cuda device .*only the CPU.*use --device cpu"),
            ("cuda", "xpu", r"no xpu device .*torch sees cuda.*use --device cpu"),
            (None, "gpu", r"no gpu device"),
        ],
    )
    def test_an_absent_device_is_refused(self, machine: Any, has: str | None, asked: str, words: str) -> None:
        machine(has)
        with pytest.raises(UsageError, match=words):
            device_from(asked)


class TestSteadyHost:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_it_sets_the_number_of_threads(self, threads: int, restored_threads: None) -> None:
        steady_host(threads)
        assert torch.get_num_threads() == threads

    def test_it_reports_whether_malloc_was_set(self, monkeypatch: pytest.MonkeyPatch, restored_threads: None) -> None:
        asked: list[tuple[int, int]] = []

        class Libc:
            answer = 1

            def mallopt(self, key: int, value: int) -> int:
                asked.append((key, value))
                return self.answer

        monkeypatch.setattr(ctypes, "CDLL", lambda name: Libc())
        assert steady_host(1) is True
        assert dict(asked) == {-1: 1 << 30, -2: 1 << 26, -3: 1 << 30}
        Libc.answer = 0
        assert steady_host(1) is False

    def test_a_libc_without_mallopt_is_reported_not_raised(
        self, monkeypatch: pytest.MonkeyPatch, restored_threads: None
    ) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
        assert steady_host(1) is False

    def test_garbage_is_not_collected_while_timing(self) -> None:
        with pytest.raises(ZeroDivisionError), without_collection():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled()
