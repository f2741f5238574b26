"""Cells in processes side by side: the same numbers as in one, and a process that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from dvae_bench.bench.run.cells import Cell, Place, plan
from dvae_bench.bench.run.executors import Execution, Limits
from dvae_bench.bench.run.executors.processes import DIED
from dvae_bench.bench.run.presets import Preset
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import CLOCK, DRAWS
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import COLLECTORS, ESTIMATORS, TASKS

TINY = Preset(
    "tiny",
    {
        DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2),
        CLOCK: ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
    },
)
TWO = Execution(jobs=2)
DEADLY = '''
"""Estimators that end their process, each in its own way."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import torch
from dvae_bench.estimators.score_function.reinforce import Reinforce


def once(path):
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)


WAYS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "killed-once": lambda: once(Path(__file__).with_suffix(".mark")),
    "exits": lambda: sys.exit(7),
    "leaves": lambda: os._exit(7),
    "crashes": lambda: ctypes.string_at(0),
    "hangs": lambda: time.sleep(3600),
    "spins-in-native-code": lambda: ctypes.PyDLL(None).sleep(3600),
    "takes-all-memory": lambda: torch.ones(2 << 30, dtype=torch.uint8),
}
''' + "".join(
    f'''

class {name.title().replace("-", "")}(Reinforce):
    name = "{name}"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        WAYS[self.name]()
        return super().sample(latent, generator)
'''
    for name in (
        "killed",
        "killed-once",
        "exits",
        "leaves",
        "crashes",
        "hangs",
        "spins-in-native-code",
        "takes-all-memory",
    )
)


HANGS = '''
"""It says who it is, and hangs."""

import os
import time
from pathlib import Path

from dvae_bench.estimators.score_function.reinforce import Reinforce


class Hangs(Reinforce):
    name = "hangs"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        mark = Path(os.environ["MARK"])
        mark.with_suffix(".new").write_text(str(os.getpid()))
        mark.with_suffix(".new").rename(mark)
        time.sleep(3600)
'''
COUNTS = '''
"""How many cells this process has measured."""

import itertools

from dvae_bench.bench.collectors.collector import Collector
from dvae_bench.bench.rows import row

COUNT = itertools.count(1)


class Counts(Collector):
    name = "counts"
    source = "draws"

    def rows(self, draws):
        return [row("cells of its process", next(COUNT), 1)]
'''


@pytest.fixture
def deadly(tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "deadly.py"
    path.write_text(DEADLY)
    ESTIMATORS.add_file(path)
    yield
    ESTIMATORS.extra.clear()


def cells(*estimators: str, task: str = "bit:d=2", seeds: int = 2) -> list[Cell]:
    return plan(ESTIMATORS.select(estimators), TASKS.select([task]), TINY, Place(), seeds)


def measured(store: Store) -> pd.DataFrame:
    rows = store.rows()
    return rows[rows["source"] == "draws"].drop(columns="blocks").reset_index(drop=True)


def test_the_numbers_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    alone, beside = Store(tmp_path / "alone"), Store(tmp_path / "beside")
    grid = cells("rloo", "rebar", "reinforce-ema", task="bit-table:d=3")
    counts = run_cells(grid, alone, Progress())
    assert TWO.run(grid, beside, Progress()) == counts == {"ok": 9}
    pd.testing.assert_frame_equal(measured(alone), measured(beside), check_exact=True)
    assert TWO.run(grid, beside, Progress()) == {"reused": 9}
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("deadly")
def test_a_process_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    store, ended = Store(tmp_path / "run"), {}
    progress = Progress(
        end=lambda cell, status, reason, seconds: ended.update({(str(cell.estimator), cell.seed): (status, reason)})
    )
    grid = [cell for cell in cells("killed", "killed-once", "rloo", "reinforce") if cell.source is DRAWS]
    assert TWO.run(grid, store, progress) == {"error": 2, "ok": 6}
    assert {name for name, (status, _) in ended.items() if status == "error"} == {("killed", 0), ("killed", 1)}
    reason = f"{DIED}: SIGKILL, killed, perhaps for lack of memory"
    assert ended["killed", 0] == ("error", reason)
    rows = store.rows()
    assert set(rows.loc[rows["status"] == "error", "reason"]) == {reason}
    assert TWO.run([cell for cell in grid if cell.estimator.family != "killed"], store, Progress()) == {"reused": 6}


FAULTS = {
    "exits": "it called sys.exit(7)",
    "leaves": "it exited with code 7",
    "crashes": "SIGSEGV, a crash in native code",
    "takes-all-memory": "can't allocate memory",
}
HANGING = ("hangs", "spins-in-native-code")


def ended_as(grid: list[Cell], folder: Path, execution: Execution) -> dict[str, tuple[str, str]]:
    """How each estimator's cell ended, reported and stored alike."""
    store, ended = Store(folder), {}
    progress = Progress(end=lambda cell, status, reason, seconds: ended.update({str(cell.estimator): (status, reason)}))
    counts = execution.run(grid, store, progress)
    assert counts == Counter(status for status, _ in ended.values())
    assert all(store.status(cell.part()) == ended[str(cell.estimator)][0] for cell in grid)
    assert not multiprocessing.active_children()
    return ended


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("source", ["draws", "clock"])
@pytest.mark.parametrize("isolate", [True, False])
def test_what_a_plugin_does_to_its_process_is_its_own_error_only(tmp_path: Path, source: str, isolate: bool) -> None:
    grid = [cell for cell in cells(*FAULTS, "rloo", seeds=1) if cell.source.name == source]
    ended = ended_as(grid, tmp_path, Execution(2, Limits(isolate, memory=2**29)))
    assert ended.pop("rloo") == ("ok", "")
    assert {name: status for name, (status, _) in ended.items()} == dict.fromkeys(FAULTS, "error")
    assert all(reason in ended[name][1] for name, reason in FAULTS.items())


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("source", ["draws", "clock"])
def test_what_hangs_is_given_up(tmp_path: Path, source: str) -> None:
    grid = [cell for cell in cells(*HANGING, seeds=1) if cell.source.name == source]
    ended = ended_as(grid, tmp_path, Execution(2, Limits(timeout=1.0)))
    assert ended == dict.fromkeys(HANGING, ("error", "it took longer than the 1 s of --timeout"))


def test_isolated_cells_each_have_a_process_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    COLLECTORS.add_file(path)
    try:
        grid = [cell for cell in cells("rloo", "reinforce") if cell.source is DRAWS]
        seen = []
        for isolate in (False, True):
            store = Store(tmp_path / str(isolate))
            assert Execution(limits=Limits(isolate, memory=2**40)).run(grid, store, Progress()) == {"ok": 4}
            rows = store.rows()
            seen.append(set(rows.loc[rows["metric"] == "cells of its process", "value"]))
        assert seen == [{1.0, 2.0, 3.0, 4.0}, {1.0}]
    finally:
        COLLECTORS.extra.clear()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_processes_end_with_their_parent_even_while_they_hang(tmp_path: Path) -> None:
    plugin, pid = tmp_path / "hangs.py", tmp_path / "pid"
    plugin.write_text(HANGS)
    arguments = ["run", "-e", "hangs", "-t", "bit", "--plugin", str(plugin), "--isolate", "-o", str(tmp_path / "run")]
    command = [sys.executable, "-m", "dvae_bench.cli", *arguments]
    with subprocess.Popen(command, env=os.environ | {"MARK": str(pid)}, stdout=subprocess.DEVNULL) as run:
        while not pid.exists():
            assert run.poll() is None
            time.sleep(0.1)
        assert running(int(pid.read_text()))
        run.kill()
    for _ in range(600):
        if not running(int(pid.read_text())):
            return
        time.sleep(0.1)
    pytest.fail("the process outlives its parent by a minute")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    def interrupt(cell: Cell, status: str, reason: str, seconds: float) -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        TWO.run(cells("rloo", "reinforce"), store, Progress(end=interrupt))
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
    assert 1 <= len(list(store.cells.glob("*.parquet"))) < 6
