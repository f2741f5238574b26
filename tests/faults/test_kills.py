"""Killed at random moments, again and again, a run loses at most the cell in flight and ends as if nothing had been."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvae_bench.bench.store.store import Store
from pandas.testing import assert_frame_equal

from .conftest import numbers

ARGUMENTS = ["run", "-e", "rloo:n={2,3}", "-e", "rebar", "-t", "bit", "-t", "mnist-vae:arch=linear,batch=8"]
CELLS = 12
DONE = re.compile(rf"\[\d+/{CELLS}\] done (.*) \(")
INTERRUPTED = re.compile(r"interrupted; \d+ cells are stored in results, the same command goes on\n")
KINDS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


class Runs:
    """Runs of the console script, forked from a process that has loaded everything: see forked_runs.py."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("forked_runs.py")
        self.parent = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder: Path, *arguments: str) -> int:
        """Run in `folder`, printing into its file output; the process."""
        folder.mkdir(exist_ok=True)
        return self._ask("start", str(folder), *(arguments or ARGUMENTS), "-o", "results")

    def wait(self, process: int) -> int:
        """Its exit code; minus the signal that killed it."""
        return self._ask("wait", str(process))

    def whole(self, folder: Path) -> float:
        """A run that nobody disturbs; the seconds it took."""
        start = time.monotonic()
        assert self.wait(self.start(folder)) == 0, (folder / "output").read_text()
        return time.monotonic() - start

    def _ask(self, *words: str) -> int:
        assert self.parent.stdin is not None and self.parent.stdout is not None
        print("\t".join(words), file=self.parent.stdin, flush=True)
        return int(self.parent.stdout.readline())


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    runs = Runs()
    yield runs
    runs.parent.communicate()


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.full)])
def test_a_run_killed_at_random_ends_as_if_nothing_had_been(kills: int, tmp_path: Path, runs: Runs) -> None:
    """SIGKILL, SIGTERM and Ctrl-C; 100 take some 3 minutes. When a run ends before its kill, another begins."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice, killed, turn = random.Random(seed), 0, 0
    length, quiet = runs.whole(tmp_path / "quiet"), Store(tmp_path / "quiet" / "results")
    while killed < kills:
        folder = tmp_path / f"disturbed{turn}"
        store, announced, ended = Store(folder / "results"), set[str](), False
        while not ended:
            how = dice.choice(KINDS) if killed < kills else None
            ended = one_life(runs, folder, how, dice.uniform(0, 0.7 * length), announced)
            killed += not ended
        assert_same(store, quiet)
        assert {path.name for path in store.folder.iterdir()} == {path.name for path in quiet.folder.iterdir()}
        turn += 1


def one_life(runs: Runs, folder: Path, how: signal.Signals | None, wait: float, announced: set[str]) -> bool:
    """Let a run live so long, then send it the signal; whether it had ended by itself before."""
    stored = {part: part.read_bytes() for part in (folder / "results" / "cells").glob("*.parquet")}
    run = runs.start(folder)
    if how is not None:
        time.sleep(wait)
        os.kill(run, how)
    code, output = runs.wait(run), (folder / "output").read_text()
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


STUBBORN = """
import time

from dvae_bench.estimators.score_function.reinforce import Reinforce


class Stubborn(Reinforce):
    name = "stubborn"
    latents = ("bernoulli",)

    def sample(self, latent, generator):
        while True:
            try:
                print("asleep", flush=True)
                time.sleep(60)
            except BaseException:
                print("go away", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_what_swallows_the_first(how: signal.Signals, tmp_path: Path, runs: Runs) -> None:
    plugin, output = tmp_path / "stubborn.py", tmp_path / "run" / "output"
    plugin.write_text(STUBBORN)
    run = runs.start(tmp_path / "run", "run", "--plugin", str(plugin), "-e", "rloo", "-e", "stubborn", "-t", "bit")
    for word in ("asleep", "go away"):
        while word not in output.read_text():
            time.sleep(0.05)
        os.kill(run, how)
    assert runs.wait(run) == 130
    assert len(Store(tmp_path / "run" / "results").stored()) == 1, "what was finished before it"


def test_two_runs_in_one_folder_are_one_run(tmp_path: Path, runs: Runs) -> None:
    """Both measure, neither waits or harms the other; a third finds all finished."""
    runs.whole(tmp_path / "alone")
    both = [runs.start(tmp_path / "both") for _ in range(2)]
    assert [runs.wait(run) for run in both] == [0, 0], (tmp_path / "both" / "output").read_text()
    store = Store(tmp_path / "both" / "results")
    assert_same(store, Store(tmp_path / "alone" / "results"))
    assert store.context()["device"] == "cpu"
    runs.whole(tmp_path / "both")
    assert f"{CELLS} finished already; 0 to measure" in (tmp_path / "both" / "output").read_text()
