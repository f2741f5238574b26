"""The overhead of a cell in this process, in another and on Ray; the time to resume; the gain of two processes."""

from __future__ import annotations

import importlib.util
import itertools
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.run.executors import Execution
from dvae_bench.bench.run.executors.limits import Limits
from dvae_bench.bench.run.executors.processes import Processes
from dvae_bench.bench.run.plan import plan
from dvae_bench.bench.run.presets import PRESETS, Preset
from dvae_bench.bench.run.runner import Progress, measure_unit, run_cells
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.sources.source import Hooks
from dvae_bench.bench.statistics.intervals import median
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pairing import LEAST
from pytest_benchmark.fixture import BenchmarkFixture

TINY = Preset("tiny", {DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2)})


@pytest.fixture
def cell() -> Cell:
    first, *_ = plan(ESTIMATORS.select(["rloo"]), TASKS.select(["bit"]), TINY, Place())
    DRAWS.measure([first], Hooks())
    return first


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_measuring_alone(benchmark: BenchmarkFixture, cell: Cell) -> None:
    benchmark(DRAWS.measure, [cell], Hooks())


def test_in_process(benchmark: BenchmarkFixture, cell: Cell, store: Store) -> None:
    benchmark(measure_unit, (cell,), store, Progress())


@pytest.mark.parametrize("isolate", [False, True])
def test_in_another_process(benchmark: BenchmarkFixture, cell: Cell, store: Store, isolate: bool) -> None:
    with closing(Processes(store, 1, 1, Limits(isolate))) as processes:

        def measured() -> None:
            processes.submit((cell,))
            ((_, ended),) = processes.ended()
            assert isinstance(ended, list), ended

        measured()
        benchmark(measured)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_on_ray(benchmark: BenchmarkFixture, cell: Cell, store: Store) -> None:
    """One cell after another on a cluster of this machine, including the transfer of its part."""
    from dvae_bench.bench.run.executors.ray_cluster import RayCluster

    with closing(RayCluster("local", store, cell.place, Limits())) as cluster:

        def measured() -> None:
            cluster.submit((cell,))
            ((_, ended),) = cluster.ended()
            assert isinstance(ended, list), ended

        measured()
        benchmark(measured)


def test_one_process_over_two(benchmark: BenchmarkFixture, cell: Cell, tmp_path: Path) -> None:
    """Gradient draws of the quick preset, one thread per process, including the start of the processes."""
    names = ESTIMATORS.select(["reinforce", "rloo", "disarm", "rebar", "relax", "gumbel-softmax"])
    cells = plan(names, TASKS.select(["bit-table", "tiny-vae"]), PRESETS["quick"], Place(), 2, [DRAWS])
    folders = (tmp_path / str(number) for number in itertools.count())

    def seconds(jobs: int) -> float:
        start = time.perf_counter()
        assert Execution(jobs).run(cells, Store(next(folders)), Progress()) == {"ok": len(cells)}
        return time.perf_counter() - start

    ratios = [seconds(1) / seconds(2) for _ in range(LEAST)]
    benchmark.extra_info["one_over_two"] = asdict(median(np.array(ratios)))
    benchmark.pedantic(seconds, args=(2,), rounds=1)


def test_resume(benchmark: BenchmarkFixture, cell: Cell, store: Store) -> None:
    run_cells([cell], store, Progress())
    assert benchmark(run_cells, [cell], store, Progress()) == {"reused": 1}
