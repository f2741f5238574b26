"""Cells in processes side by side: the same numbers as in one, and a process that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from dvae_bench.bench.cells import Cell, plan
from dvae_bench.bench.executors import DIED, run_beside
from dvae_bench.bench.presets import Preset
from dvae_bench.bench.runner import Progress, run_cells
from dvae_bench.bench.settings import ClockSettings, DrawSettings
from dvae_bench.bench.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

TINY = Preset(
    "tiny",
    draws=DrawSettings(blocks=8, rows=8, tuning_steps=2),
    clock=ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
)
DEADLY = '''
"""Estimators that end their process, once and always."""

import os
import signal
from pathlib import Path

from dvae_bench.estimators.score_function.reinforce import Reinforce


class Killed(Reinforce):
    name = "killed"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        os.kill(os.getpid(), signal.SIGKILL)


class KilledOnce(Reinforce):
    name = "killed-once"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        mark = Path(__file__).with_suffix(".mark")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(latent, generator)
'''


@pytest.fixture
def deadly(tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "deadly.py"
    path.write_text(DEADLY)
    ESTIMATORS.add_file(path)
    yield
    ESTIMATORS.extra.clear()


def cells(*estimators: str, task: str = "bit:d=2") -> list[Cell]:
    return plan(ESTIMATORS.select(estimators), TASKS.select([task]), TINY, 2, "cpu", "cpu", "", 1)


def measured(store: Store) -> pd.DataFrame:
    rows = store.rows()
    return rows[rows["source"] == "draws"].drop(columns="blocks").reset_index(drop=True)


def test_the_numbers_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    alone, beside = Store(tmp_path / "alone"), Store(tmp_path / "beside")
    grid = cells("rloo", "rebar", "reinforce-ema", task="bit-table:d=3")
    counts = run_cells(grid, alone, Progress())
    assert run_beside(grid, beside, Progress(), False, 2, 1) == counts == {"ok": 9}
    pd.testing.assert_frame_equal(measured(alone), measured(beside), check_exact=True)
    assert run_beside(grid, beside, Progress(), False, 2, 1) == {"reused": 9}
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("deadly")
def test_a_process_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    store, ended = Store(tmp_path / "run"), {}
    progress = Progress(
        end=lambda cell, status, reason, seconds: ended.update({(str(cell.estimator), cell.seed): (status, reason)})
    )
    grid = [cell for cell in cells("killed", "killed-once", "rloo", "reinforce") if cell.source == "draws"]
    assert run_beside(grid, store, progress, False, 2, 1) == {"error": 2, "ok": 6}
    assert {name for name, (status, _) in ended.items() if status == "error"} == {("killed", 0), ("killed", 1)}
    assert ended["killed", 0] == ("error", DIED)
    rows = store.rows()
    assert set(rows.loc[rows["status"] == "error", "reason"]) == {DIED}
    assert run_beside([cell for cell in grid if cell.estimator.family != "killed"], store, Progress(), False, 2, 1) == {
        "reused": 6
    }


def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    def interrupt(cell: Cell, status: str, reason: str, seconds: float) -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_beside(cells("rloo", "reinforce"), store, Progress(end=interrupt), False, 2, 1)
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
    assert 1 <= len(list(store.cells.glob("*.parquet"))) < 6
