"""However often a run is killed or interrupted, it loses at most the cell in flight and ends with the same numbers."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import Command, Ended
from dvae_bench.bench.store.store import Store
from forked import Forks, wait_for
from pandas.testing import assert_frame_equal
from tiny import VAE, numbers

ARGUMENTS = ["run", "-e", "rloo:n={2,3}", "-e", "rebar", "-t", "bit", "-t", VAE, "-o", "results"]
CELLS = 12
DONE = re.compile(rf"\[\d+/{CELLS}\] done (.*) \(")
INTERRUPTED = re.compile(r"interrupted; (\d+) cells are stored in results, the same command goes on\n")
KINDS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


def whole(forks: Forks, folder: Path) -> float:
    """A run that nobody disturbs; the seconds it took."""
    start = time.monotonic()
    assert forks.wait(forks.start("run", folder, *ARGUMENTS)) == 0, (folder / "output").read_text()
    return time.monotonic() - start


@pytest.fixture(scope="module")
def quiet(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, float]:
    """What a run leaves that nobody disturbs; the seconds it took."""
    folder = tmp_path_factory.mktemp("quiet")
    length = whole(forks, folder)
    return Store(folder / "results"), length


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.full)])
def test_a_run_killed_at_random_ends_as_if_nothing_had_been(
    kills: int, tmp_path: Path, forks: Forks, quiet: tuple[Store, float]
) -> None:
    """SIGKILL, SIGTERM and Ctrl-C; 100 take some 3 minutes. When a run ends before its kill, another begins."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice, killed, turn = random.Random(seed), 0, 0
    undisturbed, length = quiet
    while killed < kills:
        folder = tmp_path / f"disturbed{turn}"
        store, announced, ended = Store(folder / "results"), set[str](), False
        while not ended:
            how = dice.choice(KINDS) if killed < kills else None
            ended = one_life(forks, folder, how, dice.uniform(0, 0.7 * length), announced)
            killed += not ended
        assert_same(store, undisturbed)
        assert {path.name for path in store.folder.iterdir()} == {path.name for path in undisturbed.folder.iterdir()}
        turn += 1


def one_life(forks: Forks, folder: Path, how: signal.Signals | None, wait: float, announced: set[str]) -> bool:
    """Let a run live so long, then send it the signal; whether it had ended by itself before."""
    stored = {part: part.read_bytes() for part in (folder / "results" / "cells").glob("*.parquet")}
    run = forks.start("run", folder, *ARGUMENTS)
    if how is not None:
        time.sleep(wait)
        os.kill(run, how)
    code, output = forks.wait(run), (folder / "output").read_text()
    now = set(DONE.findall(output))
    parts = {part: part.read_bytes() for part in (folder / "results" / "cells").glob("*.parquet")}
    assert not announced & now, "a cell that was announced is not measured again"
    assert parts.items() >= stored.items(), "what was finished stays, to the byte"
    assert len(parts) - len(stored) >= len(now), "a finished cell is stored before it is announced"
    announced |= now
    if code == 0:
        return True
    assert how is not None and "Traceback" not in output, output
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 130), output
    early_or_late = not output or len(parts) == CELLS
    assert how == signal.SIGKILL or INTERRUPTED.search(output) or early_or_late, output
    return False


def assert_same(store: Store, quiet: Store) -> None:
    """The same numbers to the bit, times apart, and nothing left behind."""
    assert list(map(store.status, store.stored())) == ["ok"] * CELLS
    assert_frame_equal(numbers(store), numbers(quiet))
    assert {path.suffix for path in store.cells.iterdir()} == {".parquet"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_goes_on_after_a_kill_or_an_interrupt(
    how: signal.Signals, tmp_path: Path, forks: Forks
) -> None:
    """An interrupted run says so, and how many cells it has stored."""
    folder, store = tmp_path / "run", Store(tmp_path / "run" / "results")
    run = forks.start("run", folder, *ARGUMENTS)
    wait_for(lambda printed: len(DONE.findall(printed)) >= 4, folder)
    os.kill(run, how)
    assert forks.wait(run) == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    output, parts = (folder / "output").read_text(), list(store.cells.glob("*.parquet"))
    announced = len(DONE.findall(output))
    assert 4 <= announced <= len(parts) <= announced + 1 < CELLS, "a finished cell is stored before it is announced"
    assert all(pq.read_metadata(part).num_rows for part in parts)
    if how == signal.SIGINT:
        assert INTERRUPTED.findall(output) == [str(len(parts))] and "Traceback" not in output
    kept = {part: part.read_bytes() for part in parts}
    whole(forks, folder)
    output, left = (folder / "output").read_text(), CELLS - len(parts)
    assert f"{len(parts)} finished already; {left} to measure" in output
    assert f"cells: {left} ok, {len(parts)} reused" in output
    assert all(part.read_bytes() == content for part, content in kept.items())
    rows = store.rows()
    per_cell = rows.groupby(["task", "source", "estimator"])["metric"].agg(lambda metrics: tuple(sorted(metrics)))
    assert len(per_cell) == CELLS and set(rows["status"]) == {"ok"}
    assert (per_cell.groupby(["task", "source"]).nunique() == 1).all()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_command_begins_ends_it_quietly(
    how: signal.Signals, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While typer still reads the signatures of all commands."""
    monkeypatch.setattr("typer.main.get_command", lambda app: signal.raise_signal(how))
    assert command("list") == Ended(130, "", "")


STUBBORN = """
print("in the plugin", os.getpid(), flush=True)
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
NATIVE = """
print("in the plugin", os.getpid(), flush=True)
lock = ctypes.create_string_buffer(256)
for _ in range(2):
    ctypes.PyDLL(None).pthread_mutex_lock(lock)
"""
"""Waits for itself with the interpreter lock held, so that no Python code runs in any thread of its process."""


@pytest.mark.parametrize("body", [STUBBORN, NATIVE], ids=["swallows", "native"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_run_whatever_a_plugin_does(
    how: signal.Signals, body: str, tmp_path: Path, forks: Forks, plugin_file: Callable[..., Path]
) -> None:
    """A plugin has a process of its own, so that it can neither swallow a signal nor delay it."""
    names = ["-e", "rloo", "-e", "plugged", "-t", "bit", "-o", "results"]
    folder, arguments = tmp_path / "run", ["run", "--plugin", plugin_file("plugged", body), *names]
    run = forks.start("run", folder, *arguments)
    inside = re.compile(r"in the plugin (\d+)")
    wait_for(inside.search, folder)
    os.kill(run, how)
    assert forks.wait(run) == 130
    (process,) = inside.findall((folder / "output").read_text())
    assert not Path(f"/proc/{process}").exists()
    assert len(Store(folder / "results").stored()) == 1, "what was finished before it"


def test_two_runs_in_one_folder_are_one_run(tmp_path: Path, forks: Forks, quiet: tuple[Store, float]) -> None:
    """Both measure, neither waits or harms the other; a third finds all finished."""
    both = [forks.start("run", tmp_path / "both", *ARGUMENTS) for _ in range(2)]
    assert [forks.wait(run) for run in both] == [0, 0], (tmp_path / "both" / "output").read_text()
    store = Store(tmp_path / "both" / "results")
    assert_same(store, quiet[0])
    assert store.context()["device"] == "cpu"
    whole(forks, tmp_path / "both")
    assert f"{CELLS} finished already; 0 to measure" in (tmp_path / "both" / "output").read_text()
