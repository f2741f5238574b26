"""Shards partition the plan, merged shards are the whole run, and runs that do not belong together are not merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dvae_bench.bench.run.cell import Cell
from dvae_bench.bench.run.runner import Progress, run_cells, store_lost
from dvae_bench.bench.run.shard import Shard
from dvae_bench.bench.sources import CLOCK, DRAWS
from dvae_bench.bench.store.merge import merge
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import TASKS
from pandas.testing import assert_frame_equal
from tiny import TINY, grid, numbers


def cells(**how: Any) -> list[Cell]:
    return grid("rloo", "reinforce", **({"seeds": 2} | how))


def measured(folder: Path, which: list[Cell], **context: object) -> Store:
    store = Store(folder)
    store.write_context({"schema": 1, **context})
    assert run_cells(which, store, Progress()) == {"ok": len(which)}
    return store


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_shards_are_the_whole_plan_with_each_cell_once(count: int) -> None:
    on = ["bit", "bit-table", "quadratic", "mnist-vae:arch={linear,nonlinear}"]
    whole = grid("re*", "rloo", tasks=on, seeds=2)
    places = {cell: place for place, cell in enumerate(whole)}
    shards = [[places[cell] for cell in Shard(index, count).of(whole)] for index in range(1, count + 1)]
    assert sorted(place for shard in shards for place in shard) == list(range(len(whole)))
    assert all(shard == sorted(shard) for shard in shards), "timings come last in each"
    for task in TASKS.select(on):
        timings = {place for place, cell in enumerate(whole) if cell.source is CLOCK and cell.task == task}
        assert sum(timings <= set(shard) for shard in shards) == 1, "timings of one task stay together"
    for source in ("draws", "steps"):
        sizes = [sum(whole[place].source.name == source for place in shard) for shard in shards]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", "1/0", ""])
def test_a_malformed_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a shard; write I/N"):
        Shard.parse(text)


def test_merged_shards_are_the_run(tmp_path: Path) -> None:
    every = cells()
    stores = [measured(tmp_path / str(i), Shard(i, 3).of(every), command=[f"--shard {i}/3"]) for i in (1, 2, 3)]
    whole = measured(tmp_path / "whole", every)
    merged = merge(tmp_path / "out", [store.folder for store in stores])
    assert (merged.cells, merged.differing) == (6, [])
    out = Store.open(tmp_path / "out")
    assert all(out.finished(cell.part()) for cell in every)
    assert_frame_equal(numbers(out), numbers(whole), check_exact=True)
    commands = [context["command"] for context in out.context()["merged"]]
    assert commands == [["--shard 1/3"], ["--shard 2/3"], ["--shard 3/3"]]
    assert out.context()["schema"] == 1 and out.context()["command"] == commands[0]

    before = {path: path.read_bytes() for path in out.folder.rglob("*") if path.is_file()}
    assert merge(out.folder, [stores[1].folder]).cells == 6
    assert {path: path.read_bytes() for path in out.folder.rglob("*") if path.is_file()} == before


def test_a_measured_cell_prevails_over_a_failed_one(tmp_path: Path) -> None:
    first, *_ = every = cells()
    failed, good = Store(tmp_path / "failed"), measured(tmp_path / "good", every)
    failed.write_context({"schema": 1})
    store_lost(first, "killed", failed)
    for order in ([failed, good], [good, failed]):
        out = tmp_path / order[0].folder.name / "out"
        merge(out, [store.folder for store in order])
        assert Store(out).content(first.part()) == good.content(first.part())


def test_differing_numbers_are_reported_and_the_first_are_kept(tmp_path: Path) -> None:
    a, b = (measured(tmp_path / name, cells()) for name in "ab")
    merged = merge(tmp_path / "out", [a.folder, b.folder])
    assert sorted(merged.differing) == ["reinforce on bit:d=2, clock", "rloo on bit:d=2, clock"], "draws are equal"
    out = Store(tmp_path / "out")
    assert all(out.content(key) == a.content(key) for key in a.stored())


def test_other_settings_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    a = measured(tmp_path / "a", cells())
    b = measured(tmp_path / "b", cells(preset=TINY.changed(DRAWS, rows=9)))
    with pytest.raises(UsageError, match=r"on bit:d=2, draws.*: .*a and .*b measured this cell with different sett"):
        merge(tmp_path / "out", [a.folder, b.folder])
    assert not (tmp_path / "out").exists()
    run_cells(cells(), b, Progress())
    assert merge(tmp_path / "out", [a.folder, b.folder]).cells == 10, "a folder may hold older settings too"


def test_another_device_is_another_cell(tmp_path: Path) -> None:
    a = measured(tmp_path / "a", cells())
    b = measured(tmp_path / "b", cells(device="cpu:0"))
    assert merge(tmp_path / "out", [a.folder, b.folder]).cells == 12


def test_damage_and_newer_schemas_are_refused(tmp_path: Path) -> None:
    a, b = (measured(tmp_path / name, cells(seeds=1)) for name in "ab")
    (b.folder / "context.json").write_text(json.dumps({"schema": 99, "dvae_bench": "9"}))
    with pytest.raises(UsageError, match="schema 99"):
        merge(tmp_path / "out", [a.folder, b.folder])
    b.write_context({"schema": 1})
    part = b.cells / f"{b.stored()[0]}.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(UsageError, match="is damaged"):
        merge(tmp_path / "out", [a.folder, b.folder])
    assert not (tmp_path / "out").exists()
