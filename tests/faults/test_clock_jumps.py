"""The wall clock may jump: no measurement reads it."""

from __future__ import annotations

import ast
import random
import time
from pathlib import Path

import dvae_bench
import pytest
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.store.store import Store
from pandas.testing import assert_frame_equal
from tiny import VAE, grid, numbers

WALL = {"time", "time_ns", "localtime", "gmtime", "ctime", "now", "today", "utcnow"}
ROOT = Path(dvae_bench.__file__).parent


def test_durations_do_not_follow_the_wall(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, quiet = [*grid("rloo"), *grid("rloo", tasks=VAE, sources="steps")], Store(tmp_path / "quiet")
    run_cells(cells, quiet, Progress())
    dice, took = random.Random(0), []
    monkeypatch.setattr(time, "time", lambda: dice.uniform(-1e9, 4e9))
    run_cells(cells, store, Progress(end=lambda cell, status, reason, seconds: took.append((status, seconds))))
    monkeypatch.undo()
    assert all(status == "ok" and 0 < seconds < 600 for status, seconds in took)
    rows = store.rows()
    times = rows.loc[(rows["metric"] == "seconds") | rows["metric"].str.startswith("time_"), "value"].dropna()
    assert len(times) >= 5 and times.between(0, 1e9, inclusive="neither").all()
    assert_frame_equal(numbers(store), numbers(quiet))


def test_no_module_reads_the_wall_clock() -> None:
    found = set()
    for path in (
        path for folder in ("bench", "commands", "estimators", "tasks") for path in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in WALL and isinstance(node.value, ast.Name):
                found |= {(path.name, node.attr)} if node.value.id in ("time", "datetime", "date") else set()
    assert found == set()
