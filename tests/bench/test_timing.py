"""Timing in rounds on a simulated clock; telemetry, measurements of a device and traces, without an accelerator."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.collectors.costs import StepCosts
from dvae_bench.bench.collectors.time import Time
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.run.tracing import write_traces
from dvae_bench.bench.sources.settings import ClockSettings
from dvae_bench.bench.sources.timing import accelerator, rounds, stopwatch, telemetry
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.timing.rounds import time_group, without_collection
from dvae_bench.bench.sources.timing.stopwatch import Timed, Timings
from dvae_bench.bench.sources.timing.telemetry import Reading, Telemetry
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from tiny import VAE, Diary, grid

CPU, DEVICE = torch.device("cpu"), torch.device("meta")
PHASES = {"encode", "sample", "objective", "gradient", "objective_backward", "encoder_backward", "update"}
SETTINGS = ClockSettings(warmup=3, repetitions=30, rounds=6, seconds=0.0, precision=0.0)
COOL, HOT = (Reading(1500.0, 60.0, 200.0, throttled) for throttled in ((), ("software power cap",)))


class World:
    """Time, in microseconds, that passes only while a call runs (and a nanosecond a look at the host's clock)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.readings: Iterator[Reading | None] = iter(())

    def perf_counter(self) -> float:
        self.now += 1e-3
        return self.now / 1e6

    def timed(self, name: str, *durations: float, per: int = 1, fails_at: int = -1) -> Timed:
        """A call whose phase "work" takes each duration in turn."""
        made = 0

        def call(timeline: Timeline) -> None:
            nonlocal made
            if made == fails_at:
                raise ZeroDivisionError(name)
            timeline.mark("work")
            self.calls.append(name)
            self.now += durations[made % len(durations)]
            timeline.mark("end")
            made += 1

        return Timed(call, lambda generator: None, per)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    class WorldClock(CpuClock):
        def mark(self) -> int:
            return int(1e3 * world.now)

    class WorldTelemetry:
        def read(self) -> Reading | None:
            return next(world.readings, COOL)

    monkeypatch.setattr(stopwatch, "time", world)
    monkeypatch.setattr(stopwatch, "clock_for", lambda device: WorldClock())
    monkeypatch.setattr(rounds, "Telemetry", lambda device: WorldTelemetry())
    return world


def measured(result: Timings | Exception) -> Timings:
    assert isinstance(result, Timings), result
    return result


def alone(timed: Timed, settings: ClockSettings = SETTINGS) -> Timings:
    return measured(time_group({"a": timed}, CPU, settings, seed=0)["a"])


def by_metric(timings: Timings) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in Time().rows(timings)}


class TestStopwatch:
    @pytest.mark.parametrize(("duration", "warm"), [(10_000.0, 3), (1_000.0, 25), (100_000.0, 3)])
    def test_it_warms_up_by_calls_and_by_time(self, world: World, duration: float, warm: int) -> None:
        timings = alone(world.timed("a", duration))
        estimate, hot = 1 if duration > 1e6 * stopwatch.WARM_SECONDS else 5, 6
        assert len(world.calls) == warm + estimate + hot + 30
        assert len(timings.phases["total"]) == 30 and timings.calls == 1

    def test_short_calls_are_grouped(self, world: World) -> None:
        timings = alone(world.timed("a", 2.0, 4.0))
        assert timings.calls == 7, "about 20 us at 3 us a call"
        assert len(timings.phases["work"]) == 30
        assert 2.5 < timings.phases["work"].min() <= timings.phases["work"].max() < 3.5
        assert by_metric(timings)["calls"]["value"] == 7

    def test_an_estimate_of_zero_is_guarded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stopwatch, "WARM_SECONDS", 0.0)
        timings = alone(world.timed("a", 0.0), ClockSettings(warmup=1, repetitions=6, rounds=2, seconds=0.001))
        assert timings.calls == 20

    def test_a_call_of_many_draws_is_divided(self, world: World) -> None:
        assert set(alone(world.timed("a", 1000.0, per=50)).phases["total"]) == {20.0}

    def test_repetitions_fill_the_seconds(self, world: World) -> None:
        settings = ClockSettings(warmup=3, repetitions=12, rounds=6, seconds=0.6, precision=0.0)
        assert 6 * 90 <= len(alone(world.timed("a", 1_000.0, 1_100.0), settings).phases["total"]) <= 6 * 100
        assert len(alone(world.timed("b", 1_000_000.0), settings).phases["total"]) == 12, "never below the floor"

    def test_a_slow_call_has_fewer_repetitions_and_no_extra_calls(self, world: World) -> None:
        """Eight of the quick run's 340 calls, of .3 to .7 s, took two of its eight minutes at 44 calls each."""
        warm, estimate = 3, 1
        assert len(alone(world.timed("a", 600_000.0), ClockSettings()).phases["total"]) == 12
        assert len(world.calls) == warm + estimate + 12
        world.calls.clear()
        assert len(alone(world.timed("b", 70_000.0), ClockSettings()).phases["total"]) == 6 * 3
        assert len(alone(world.timed("c", 40_000.0), ClockSettings(precision=0.0)).phases["total"]) == 30

    def test_it_stops_when_precise(self, world: World) -> None:
        steady = alone(world.timed("a", 1_000.0), ClockSettings(seconds=0.0, precision=0.01))
        assert (steady.stop_reason, len(steady.blocks)) == ("budget", 6), "the floor comes first"
        steady = alone(world.timed("a", 1_000.0), ClockSettings(seconds=0.6, precision=0.01))
        assert (steady.stop_reason, len(steady.blocks)) == ("precise", 3)
        noisy = alone(world.timed("b", 1_000.0, 2_000.0), ClockSettings(seconds=0.6, precision=0.01))
        assert (noisy.stop_reason, len(noisy.blocks)) == ("budget", 6)
        row = by_metric(steady)["rounds"]
        assert row["value"] == 3 and row["reason"] == "precise; caches hot"

    def test_rounds_keep_their_medians(self, world: World) -> None:
        row = by_metric(alone(world.timed("a", 1_000.0)))["time_total"]
        assert row["blocks"] == [1000.0] * 6 and row["value"] == 1000.0 and row["n"] == 30

    def test_throttled_blocks_are_kept_apart_and_measured_again(self, world: World) -> None:
        world.readings = iter([HOT, COOL, COOL, HOT])
        timings = alone(world.timed("a", 1_000.0))
        assert (len(timings.blocks), len(timings.throttled), timings.stop_reason) == (6, 2, "budget")
        rows = by_metric(timings)
        assert rows["time_total"]["status"] == "ok" and rows["time_total"]["n"] == 30
        assert rows["time_throttled"]["n"] == 2 and rows["time_throttled"]["reason"] == "software power cap"

    def test_timings_that_are_always_throttled_say_so(self, world: World) -> None:
        world.readings = iter([HOT] * 99)
        timings = alone(world.timed("a", 1_000.0))
        assert len(timings.throttled) == 9 and timings.stop_reason == "throttled"
        row = by_metric(timings)["time_total"]
        assert (row["status"], row["reason"], row["value"]) == ("throttled", "software power cap", 1000.0)


class TestRounds:
    def test_every_round_times_everyone_in_random_order(self, world: World) -> None:
        names = "abcdef"
        time_group({name: world.timed(name, 30_000.0) for name in names}, CPU, SETTINGS, seed=0)
        share = 1 + 5
        blocks = world.calls[4 * len(names) :][::share]
        rounds = ["".join(blocks[k : k + 6]) for k in range(0, 36, 6)]
        assert all(sorted(each) == sorted(names) for each in rounds) and len(set(rounds)) > 3

    def test_the_order_is_that_of_the_seed(self, world: World) -> None:
        orders = []
        for seed in (0, 0, 1):
            world.calls = []
            time_group({name: world.timed(name, 30_000.0) for name in "abcd"}, CPU, SETTINGS, seed)
            orders.append(world.calls)
        assert orders[0] == orders[1] != orders[2]

    @pytest.mark.parametrize("at", [0, 7, 20], ids=["first call", "estimate", "a block"])
    def test_a_call_that_fails_drops_out(self, world: World, at: int) -> None:
        group = {name: world.timed(name, 30_000.0, fails_at=at if name == "b" else -1) for name in "abc"}
        results = time_group(group, CPU, SETTINGS, seed=0)
        assert isinstance(results["b"], ZeroDivisionError)
        assert all(len(measured(results[name]).phases["total"]) == 30 for name in "ac")

    def test_a_call_that_fails_holds_no_memory(self, world: World) -> None:
        held: list[weakref.ref[torch.Tensor]] = []

        def call(timeline: Timeline) -> None:
            big = torch.zeros(10)
            held.append(weakref.ref(big))
            raise MemoryError

        results = time_group({"a": Timed(call, lambda generator: None, 1)}, CPU, SETTINGS, seed=0)
        assert isinstance(results["a"], MemoryError) and held[0]() is None

    def test_progress_reaches_one(self, world: World) -> None:
        shares: list[float] = []
        time_group({"a": world.timed("a", 1_000.0)}, CPU, SETTINGS, 0, shares.append)
        assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) == 1 + 6, "in the warm-up, and per block"

    def test_an_empty_group_has_no_results(self) -> None:
        assert time_group({}, CPU, SETTINGS, 0) == {}


class Asynchronous(CpuClock):
    """The host's clock, claiming to be a device's."""

    asynchronous = True


class TestOnAnAccelerator:
    @pytest.fixture
    def timings(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Timings:
        monkeypatch.setattr(stopwatch, "clock_for", lambda device: Asynchronous())
        monkeypatch.setattr(accelerator, "peak_memory", lambda call, device: 4096)
        monkeypatch.setattr(accelerator, "launches", lambda gradient, device: 12)
        return alone(world.timed("a", 1_000.0))

    def test_host_times_stand_beside_the_devices(self, timings: Timings) -> None:
        rows = by_metric(timings)
        assert rows["time_enqueue"]["value"] == pytest.approx(1000, rel=0.01)
        assert rows["time_host"]["value"] >= rows["time_enqueue"]["value"]
        assert rows["host_bound"]["value"] == 1.0

    @pytest.mark.parametrize(("enqueue", "bound"), [(89.0, 0.0), (90.0, 1.0)])
    def test_a_call_is_host_bound_from_nine_tenths_of_its_time_enqueued(
        self, timings: Timings, enqueue: float, bound: float
    ) -> None:
        blocks = [stopwatch.Block(block.spans, enqueue, 100.0, block.reading) for block in timings.blocks]
        rows = by_metric(Timings(timings.phases, blocks, [], 1, "budget", True))
        assert rows["host_bound"]["value"] == bound and rows["time_enqueue"]["value"] == enqueue

    def test_memory_launches_and_replays_are_measured_or_say_why_not(self, timings: Timings) -> None:
        rows = by_metric(timings)
        assert rows["memory_peak"]["value"] == 4096 and rows["memory_peak"]["unit"] == "bytes"
        assert rows["launches"]["value"] == 12
        assert rows["time_replay"]["status"] == "unsupported" and rows["time_replay"]["reason"]

    def test_the_device_is_described(self, timings: Timings) -> None:
        rows = by_metric(timings)
        assert [rows[f"device_{name}"]["value"] for name in ("clock", "temperature", "power")] == [1500, 60, 200]

    def test_the_cpu_has_none_of_these_rows(self, world: World) -> None:
        assert set(by_metric(alone(world.timed("a", 1_000.0)))) == {"time_work", "time_total", "rounds", "calls"}


class TestAccelerator:
    def test_peak_memory_is_over_what_was_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        fake = SimpleNamespace(
            synchronize=lambda device: calls.append("synchronize"),
            reset_peak_memory_stats=lambda device: calls.append("reset"),
            memory_allocated=lambda device: 100,
            max_memory_allocated=lambda device: 350,
        )
        monkeypatch.setattr(accelerator.torch, "accelerator", fake)
        assert accelerator.peak_memory(lambda: calls.append("call"), DEVICE) == 250
        assert calls == ["synchronize", "reset", "call", "synchronize"]

    def test_replays_are_of_one_capture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []

        def capture(call: Callable[[], object], warm_up: Callable[[], object], device: torch.device) -> Any:
            warm_up()
            calls.append("capture")
            return lambda: calls.append("replay"), call()

        monkeypatch.setattr(accelerator, "capture", capture)
        times = accelerator.replay_times(lambda: calls.append("call"), CpuClock(), DEVICE)
        assert len(times) == accelerator.REPLAYS and (times >= 0).all()
        warm_up = ["call"] * accelerator.WARM
        assert calls == [*warm_up, "capture", "call", *["replay"] * (1 + accelerator.REPLAYS)]

    def test_launches_need_a_profiler_that_sees_the_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(accelerator, "supported_activities", lambda: {accelerator.ProfilerActivity.CPU})
        with pytest.raises(RuntimeError, match="sees no accelerator"):
            accelerator.launches(lambda: None, DEVICE)


class TestTelemetry:
    @pytest.fixture
    def nvml(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """A driver whose device is held down by its power cap."""
        fake: Any = ModuleType("pynvml")
        fake.NVMLError, fake.NVML_CLOCK_SM, fake.NVML_TEMPERATURE_GPU = OSError, 1, 0
        fake.nvmlInit = lambda: None
        fake.nvmlDeviceGetHandleByUUID = lambda uuid: uuid
        fake.nvmlDeviceGetClockInfo = lambda handle, kind: 1410
        fake.nvmlDeviceGetTemperature = lambda handle, kind: 71
        fake.nvmlDeviceGetPowerUsage = lambda handle: 399_500
        fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x1 | 0x4 | 0x40
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(telemetry.torch.version, "cuda", "13.0")
        properties = SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(uuid="abc"))
        monkeypatch.setattr(telemetry.torch, "get_device_module", lambda device: properties)
        return fake

    def test_clock_temperature_power_and_throttling_are_read(self, nvml: Any) -> None:
        device = Telemetry(torch.device("cuda"))
        assert device.handle == "GPU-abc"
        slowed = ("software power cap", "hardware thermal slowdown")
        assert device.read() == Reading(1410.0, 71.0, 399.5, slowed), "idling is not throttling"

    def test_a_driver_that_refuses_gives_no_reading(self, nvml: Any) -> None:
        def refuse(*arguments: object) -> int:
            raise OSError("not supported")

        nvml.nvmlDeviceGetPowerUsage = refuse
        assert Telemetry(torch.device("cuda")).read() is None
        nvml.nvmlInit = refuse
        assert Telemetry(torch.device("cuda")).read() is None

    def test_without_the_library_there_is_no_reading(self, nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert Telemetry(torch.device("cuda")).read() is None

    @pytest.mark.parametrize("device", ["cpu", "xpu"])
    def test_other_devices_have_no_reading(self, device: str) -> None:
        assert Telemetry(torch.device(device)).read() is None


class TestSteps:
    def test_a_step_has_every_phase_and_their_total(self) -> None:
        task = MnistVae(arch="linear", batch=16)
        timed = timed_steps(task, build("rloo", task.spec), seed=0)
        timings = alone(timed, ClockSettings(warmup=1, repetitions=3, rounds=3, seconds=0.0))
        assert set(timings.phases) == PHASES | {"total"} and len(timings.phases["total"]) == 3
        np.testing.assert_allclose(timings.phases["total"], sum(timings.phases[phase] for phase in PHASES))
        rows = {row["metric"]: row["value"] for row in StepCosts().rows(timings)}
        assert set(rows) == {"evaluations", "differentiations", "operations", "bytes", "syncs"}
        assert (rows["evaluations"], rows["differentiations"], rows["syncs"]) == (2, 0, 0)


class TestRunner:
    def test_a_group_is_stored_cell_by_cell(self, store: Store) -> None:
        group = grid("rloo", "reinforce", "rebar", sources="clock")
        assert run_cells(group[:1], store, Progress()) == {"ok": 1}
        assert run_cells(group, store, Progress()) == {"reused": 1, "ok": 2}, "a group's size is no part of a key"
        rows = store.rows()
        totals = rows[rows["metric"] == "time_total"]
        assert sorted(totals["estimator"]) == ["rebar", "reinforce", "rloo"] and (totals["value"] > 0).all()

    def test_an_unsupported_and_a_failing_one_leave_the_others_alone(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: object) -> None:
            raise ZeroDivisionError("the baseline is empty")

        monkeypatch.setattr(ESTIMATORS.find("reinforce").load(), "gradient", fail)
        wanted = {"rloo": "ok", "reinforce": "error", "straight-through": "unsupported", "unordered-set": "ok"}
        diary = Diary()
        run_cells(grid(*wanted, tasks="category-table:extension=none", sources="clock"), store, diary)
        assert {name: diary.of(name)[0] for name in wanted} == wanted
        assert "the baseline is empty" in " ".join(store.rows()["reason"])

    def test_a_task_that_fails_fails_its_group(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: object, **values: object) -> None:
            raise UsageError("no such data")

        monkeypatch.setattr(TASKS.find("bit").load(), "__init__", fail)
        assert run_cells(grid("rloo", "disarm", sources="clock"), store, Progress()) == {"error": 2}


class TestTraces:
    def test_phases_are_labels_of_the_trace(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        cells, said = grid("rloo:n=3", tasks=[VAE, "bit"], sources="clock"), []
        (path,) = write_traces(cells, tmp_path / "traces", said.append)
        assert path.name == "rloo-n=3-mnist-vae-arch=linear-batch=8.json" and said == []
        events = json.loads(path.read_text())["traceEvents"]
        assert {event["name"] for event in events if event.get("cat") == "user_annotation"} >= PHASES

    def test_a_step_that_cannot_be_traced_is_named_with_its_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: object) -> None:
            raise ZeroDivisionError("the baseline is empty\nat all")

        monkeypatch.setattr(ESTIMATORS.find("reinforce").load(), "gradient", fail)
        cells, said = grid("exact", "reinforce", tasks="mnist-vae:arch=categorical,batch=8", sources="clock"), []
        assert write_traces(cells, tmp_path / "traces", said.append) == []
        exact, reinforce = said
        assert exact.startswith("no trace of exact on mnist-vae:arch=categorical,batch=8: Unsupported: ")
        assert "configurations" in exact and reinforce.endswith(": ZeroDivisionError: the baseline is empty")


@pytest.mark.parametrize("by_the_caller", [False, True])
def test_only_what_was_frozen_here_is_thawed(by_the_caller: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: int(by_the_caller))
    thawed: list[bool] = []
    monkeypatch.setattr(gc, "unfreeze", lambda: thawed.append(True))
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled() and bool(thawed) is not by_the_caller
