"""Timings that are interrupted go on from the blocks that were stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import CLOCK
from dvae_bench.bench.sources.timing.block_journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block, Stopwatch
from dvae_bench.bench.sources.timing.telemetry import Reading
from dvae_bench.bench.store.store import Store
from tiny import grid

COOL = Block([{"sample": 1.5, "total": 2.0}], 1.0, 2.5, None)
HOT = Block([{"total": 3.0}], 1.0, 3.5, Reading(1980.0, 80.0, 300.0, ("power brake",)))


def test_blocks_come_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    for part, block in (("a", COOL), ("b", HOT), ("a", HOT)):
        journal.add(part, block)
    assert Journal(journal.path).blocks() == {"a": [COOL, HOT], "b": [HOT]}
    journal.clear()
    assert journal.blocks() == {}


def test_a_line_cut_short_is_dropped_and_the_next_one_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add("a", COOL)
    journal.add("a", HOT)
    assert journal.path is not None
    journal.path.write_bytes(journal.path.read_bytes()[:-20])
    journal.add("b", HOT)
    assert journal.blocks() == {"a": [COOL], "b": [HOT]}


def test_an_interrupted_run_makes_only_the_missing_blocks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names, preset = ("rloo", "reinforce", "disarm"), PRESETS["quick"]
    cells, made, block = grid(*names, preset=preset), [], Stopwatch.block

    def interrupted(watch: Stopwatch) -> Block:
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(watch)
        return block(watch)

    monkeypatch.setattr(Stopwatch, "block", interrupted)
    monkeypatch.setattr(Stopwatch, "stop_reason", lambda watch: "budget" if len(watch.clean) >= 6 else "")
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, store, Progress())
    monkeypatch.setattr(Stopwatch, "block", lambda watch: made.append(watch) or block(watch))
    counts = run_cells(cells, store, Progress())
    assert counts == {"reused": 3, "ok": 3}
    assert len(made) == 3 * preset.of(CLOCK).rounds, "no block was measured twice"
    assert not (store.folder / "timings-in-flight.jsonl").exists()
    rows = store.rows()
    times = rows[rows["metric"] == "time_total"]
    assert set(times["estimator"]) == set(names) and (times["n"] >= preset.of(CLOCK).repetitions).all()
