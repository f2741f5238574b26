"""A run that is killed loses at most the cell in flight; one that is interrupted says how to go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dvae_bench.bench.store.store import Store

from .conftest import Command, Ended

ARGUMENTS = ["run", "-e", "rloo:n={2,3,4}", "-e", "rebar", "-t", "bit:d={1,2,3}", "-o", "results"]
CELLS = 24
FINISHED = re.compile(rf"\[\d+/{CELLS}\] done ")


def start(folder: Path, arguments: list[str] = ARGUMENTS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvae_bench.cli", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell passes it on ignored
    )


def stop_after(run: subprocess.Popen[str], cells: int, how: signal.Signals) -> tuple[list[str], str]:
    """Wait for that many finished cells, send the signal; every line printed, and what came on stderr."""
    assert run.stdout is not None
    lines: list[str] = []
    for line in run.stdout:
        lines.append(line)
        if sum(map(bool, map(FINISHED.match, lines))) == cells:
            run.send_signal(how)
            break
    rest, errors = run.communicate(timeout=60)
    return lines + rest.splitlines(keepends=True), errors


def test_kill_and_go_on(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, no_figures: None) -> None:
    with start(tmp_path) as run:
        lines, _ = stop_after(run, 6, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    printed = sum(map(bool, map(FINISHED.match, lines)))
    store = Store(tmp_path / "results")
    parts = list(store.cells.glob("*.parquet"))
    assert 6 <= printed <= len(parts) <= printed + 1 < CELLS, "a finished cell is stored before it is announced"
    assert all(pq.read_metadata(part).num_rows for part in parts)
    kept = {part: part.read_bytes() for part in parts}

    monkeypatch.chdir(tmp_path)
    ended = command(*ARGUMENTS)
    assert ended.code == 0
    assert f"{len(parts)} finished already; {CELLS - len(parts)} to measure" in ended.out
    assert f"cells: {CELLS - len(parts)} ok, {len(parts)} reused" in ended.out
    assert all(part.read_bytes() == content for part, content in kept.items())
    rows = store.rows()
    assert set(rows["status"]) == {"ok"} and len(rows.groupby(["estimator", "task", "source"])) == CELLS
    per_cell = rows.groupby(["task", "source", "estimator"])["metric"].agg(lambda metrics: tuple(sorted(metrics)))
    assert (per_cell.groupby(["task", "source"]).nunique() == 1).all()


def test_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        lines, errors = stop_after(run, 4, signal.SIGINT)
    assert run.returncode == 130 and "Traceback" not in errors
    stored = len(list((tmp_path / "results" / "cells").glob("*.parquet")))
    assert lines[-1].strip() == f"interrupted; {stored} cells are stored in results, the same command goes on"
    assert stored in (4, 5)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_command_begins(
    how: signal.Signals, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While typer still reads the signatures of all commands."""
    monkeypatch.setattr("typer.main.get_command", lambda app: signal.raise_signal(how))
    assert command("list") == Ended(130, "", "")
