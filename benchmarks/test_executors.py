"""What a cell costs beside its measuring, in this process and in another; and resuming a finished one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from dvae_bench.bench.cells import Cell, plan
from dvae_bench.bench.executors.limits import Limits
from dvae_bench.bench.executors.processes import Processes
from dvae_bench.bench.presets import Preset
from dvae_bench.bench.runner import Progress, measure_cell, measure_unit, run_cells
from dvae_bench.bench.settings import DrawSettings
from dvae_bench.bench.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pytest_benchmark.fixture import BenchmarkFixture

TINY = Preset("tiny", draws=DrawSettings(blocks=8, rows=8, tuning_steps=2))


@pytest.fixture
def cell() -> Cell:
    first, *_ = plan(ESTIMATORS.select(["rloo"]), TASKS.select(["bit"]), TINY, 1, "cpu", "cpu", "", 1)
    measure_cell(first, lambda fraction: None)
    return first


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_measuring_alone(benchmark: BenchmarkFixture, cell: Cell) -> None:
    benchmark(measure_cell, cell, lambda fraction: None)


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


def test_resume(benchmark: BenchmarkFixture, cell: Cell, store: Store) -> None:
    run_cells([cell], store, Progress())
    assert benchmark(run_cells, [cell], store, Progress()) == {"reused": 1}
