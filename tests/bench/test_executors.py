"""Cells measured in several processes give the same numbers as in one, and a process that dies harms no other cell."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dvae_bench.bench.run.cell import Cell
from dvae_bench.bench.run.executors import Execution, Limits
from dvae_bench.bench.run.executors.process import DIED
from dvae_bench.bench.run.runner import Progress, run_cells, units
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS
from pandas.testing import assert_frame_equal
from plugin_files import collector, estimator
from tiny import TINY, VAE, Diary, grid, numbers

TWO = Execution(jobs=2)
WAYS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "killed-once": """
mark = Path(__file__).with_suffix(".mark")
if not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)""",
    "exits": "sys.exit(7)",
    "leaves": "os._exit(7)",
    "crashes": "ctypes.string_at(0)",
    "hangs": "time.sleep(3600)",
    "spins-in-native-code": "ctypes.PyDLL(None).sleep(3600)",
    "takes-all-memory": "torch.ones(2 << 30, dtype=torch.uint8)",
}
SAYS_WHO_IT_IS_AND_HANGS = """
mark = Path(os.environ["MARK"])
mark.with_suffix(".new").write_text(str(os.getpid()))
mark.with_suffix(".new").rename(mark)
ctypes.PyDLL(None).sleep(3600)
"""
"""With the interpreter lock held, so that no thread of the process runs."""


@pytest.fixture
def deadly(plugin: Callable[..., Path]) -> None:
    """Estimators that end their process, each in its own way."""
    for name, code in WAYS.items():
        plugin(name, code)


def test_the_numbers_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    alone, beside = Store(tmp_path / "alone"), Store(tmp_path / "beside")
    cells = grid("rloo", "rebar", "reinforce-ema", tasks="bit-table:d=3", seeds=2)
    counts = run_cells(cells, alone, Progress())
    assert TWO.run(cells, beside, Progress()) == counts == {"ok": 9}
    assert_frame_equal(numbers(alone), numbers(beside), check_exact=True)
    assert TWO.run(cells, beside, Progress()) == {"reused": 9}
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("deadly")
def test_a_process_that_dies_takes_nothing_with_it(store: Store) -> None:
    diary, cells = Diary(), grid("killed", "killed-once", "rloo", "reinforce", sources="draws", seeds=2)
    assert TWO.run(cells, store, diary) == {"error": 2, "ok": 6}
    killed = [cell for cell in cells if cell.estimator.family == "killed"]
    reason = f"{DIED}: SIGKILL, killed, perhaps for lack of memory"
    assert {cell: diary.ended[cell] for cell in killed} == dict.fromkeys(killed, ("error", reason))
    rows = store.rows()
    assert set(rows.loc[rows["status"] == "error", "reason"]) == {reason}
    assert TWO.run([cell for cell in cells if cell not in killed], store, Progress()) == {"reused": 6}


FAULTS = {
    "exits": "it called sys.exit(7)",
    "leaves": "it exited with code 7",
    "crashes": "SIGSEGV, a crash in native code",
    "takes-all-memory": "can't allocate memory",
}
HANGING = ("hangs", "spins-in-native-code")


def ended_as(cells: list[Cell], store: Store, execution: Execution) -> dict[str, tuple[str, str]]:
    """How each estimator's cell ended, which is what is counted and stored."""
    diary = Diary()
    counts = execution.run(cells, store, diary)
    assert counts == Counter(status for status, _ in diary.ended.values())
    assert all(store.status(cell.part()) == diary.ended[cell][0] for cell in cells)
    assert not multiprocessing.active_children()
    return {cell.estimator.family: ending for cell, ending in diary.ended.items()}


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("source", ["draws", "clock"])
@pytest.mark.parametrize("isolate", [True, False])
def test_a_plugin_that_ends_its_process_fails_its_own_cell_only(store: Store, source: str, isolate: bool) -> None:
    cells = grid(*FAULTS, "rloo", sources=source)
    ended = ended_as(cells, store, Execution(2, Limits(isolate, memory=2**29)))
    assert ended.pop("rloo") == ("ok", "")
    assert {name: status for name, (status, _) in ended.items()} == dict.fromkeys(FAULTS, "error")
    assert all(reason in ended[name][1] for name, reason in FAULTS.items())


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("source", ["draws", "clock"])
def test_a_cell_that_hangs_is_given_up_after_the_timeout(store: Store, source: str) -> None:
    ended = ended_as(grid(*HANGING, sources=source), store, Execution(2, Limits(timeout=1.0)))
    assert ended == dict.fromkeys(HANGING, ("error", "it took longer than the 1 s of --timeout"))


COUNTS = collector("counts", '[row("cells of its process", next(COUNT), 1)]')


def counted(cells: list[Cell], store: Store, execution: Execution) -> set[float]:
    """Which of the cells of its process each cell was."""
    assert execution.run(cells, store, Progress()) == {"ok": len(cells)}
    rows = store.rows()
    return set(rows.loc[rows["metric"] == "cells of its process", "value"])


def test_isolated_cells_each_have_a_process_of_their_own(tmp_path: Path, plugin: Callable[..., Path]) -> None:
    plugin("counts", source=COUNTS + estimator("counted").replace("class Mine", "class Counted"))
    cells, seen = grid("counted", sources="draws", seeds=4), []
    for isolate in (False, True):
        limits = Limits(isolate, memory=2**40)
        seen.append(counted(cells, Store(tmp_path / str(isolate)), Execution(limits=limits)))
    assert seen == [{1.0, 2.0, 3.0, 4.0}, {1.0}]


PATCHES = "torch.bernoulli = lambda p, **options: torch.ones_like(p)\n"


@pytest.mark.parametrize("execution", [Execution(), Execution(jobs=2)], ids=["here", "two"])
def test_code_that_patches_torch_when_it_is_imported_changes_its_own_cells_only(
    execution: Execution, store: Store, tmp_path: Path, plugin: Callable[..., Path]
) -> None:
    """Neither the numbers measured after it, in the same run, nor those reused later without it."""
    alone, before = Store(tmp_path / "alone"), torch.bernoulli
    run_cells(grid("reinforce", sources="draws", seeds=2), alone, Progress())
    plugin("patches", source=estimator("patches") + PATCHES)
    cells = grid("patches", "reinforce", sources="draws", seeds=2)
    assert execution.run(cells, store, Progress()) == {"ok": 4} and torch.bernoulli is before
    ESTIMATORS.extra.clear()
    clean = grid("reinforce", sources="draws", seeds=2)
    assert execution.run(clean, store, Progress()) == {"reused": 2}
    of_ours = numbers(store).query("family == 'reinforce'").reset_index(drop=True)
    assert_frame_equal(numbers(alone), of_ours, check_exact=True)


def test_a_collector_that_patches_torch_changes_no_measurement(
    store: Store, tmp_path: Path, plugin: Callable[..., Path]
) -> None:
    """Its process, which has measured before the collector is imported, measures nothing else."""
    alone, cells = Store(tmp_path / "alone"), grid("rloo", "reinforce", sources="draws")
    run_cells(cells, alone, Progress())
    plugin("counts", source=COUNTS + "\nimport torch\n" + PATCHES)
    assert counted(cells, store, Execution()) == {1.0}
    ours = numbers(store).query("collector != 'counts'").reset_index(drop=True)
    assert_frame_equal(numbers(alone), ours, check_exact=True)


def test_code_of_one_file_shares_a_process_and_no_other_has_it(store: Store, plugin: Callable[..., Path]) -> None:
    """Cells of each origin, of built-in code and of a basket."""
    paths = [plugin(name) for name in ("first", "second")]
    cells = grid("first", "rloo", "second", sources="draws")
    assert [set(map(Path, cell.origins)) for cell in cells] == [{paths[0]}, set(), {paths[1]}]
    assert len(list(units(grid("first", "rloo", "second", sources="clock")))) == 3
    watched = TINY.watched(None, ("second",))
    (cell,) = grid("rloo", tasks=VAE, sources="steps", preset=watched)
    assert set(map(Path, cell.origins)) == {paths[1]}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_processes_end_with_their_parent_even_in_native_code(tmp_path: Path, plugin_file: Callable[..., Path]) -> None:
    path, pid = str(plugin_file("hangs", SAYS_WHO_IT_IS_AND_HANGS)), tmp_path / "pid"
    arguments = ["run", "-e", "hangs", "-t", "bit", "--plugin", path, "--isolate", "-o", str(tmp_path / "run")]
    command = [sys.executable, "-m", "dvae_bench.cli", *arguments]
    with subprocess.Popen(command, env=os.environ | {"MARK": str(pid)}, stdout=subprocess.DEVNULL) as run:
        while not pid.exists():
            assert run.poll() is None
            time.sleep(0.1)
        time.sleep(0.5)
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


def test_an_interrupt_leaves_no_process_behind(store: Store) -> None:
    def interrupt(cell: Cell, status: str, reason: str, seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TWO.run(grid("rloo", "reinforce", seeds=2), store, Progress(end=interrupt))
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
    assert 1 <= len(list(store.cells.glob("*.parquet"))) < 6
