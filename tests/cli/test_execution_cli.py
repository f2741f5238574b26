"""Options that say where cells are measured and with which limits; shards and merging from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command
from dvae_bench.bench.run.executors.limits import size
from dvae_bench.bench.store.store import Store
from dvae_bench.commands.execution import execution
from dvae_bench.estimators.names import UsageError

GRID = ["run", "-e", "rloo", "-e", "reinforce", "-t", "bit:d={1,2}"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--executor", "spark"], "unknown executor 'spark'; choose one of local, ray"),
        (["--executor", "ray", "--jobs", "2"], "as many cells as it has CPUs"),
        (["--timeout", "5"], "'5' is not a duration; write, for example, 90s"),
        (["--memory", "lots"], "'lots' is not a size; write, for example, 500M or 4G"),
        (["--shard", "3/2"], "'3/2' is not a shard"),
    ],
)
def test_bad_options_are_refused(command: Command, tmp_path: Path, options: list[str], words: str) -> None:
    ended = command(*GRID, "-o", tmp_path / "run", *options)
    assert ended.code == 2 and words in ended.err and not (tmp_path / "run").exists()


def test_sizes_are_read() -> None:
    assert [size(text) for text in ("500M", "4G", "1.5k", "12", "2gb")] == [500 * 2**20, 2**32, 1536, 12, 2**31]
    for text in ("", "0", "0G", "-1G", "4X", "G"):
        with pytest.raises(UsageError, match="is not a size"):
            size(text)


def test_options_make_an_execution() -> None:
    here = execution(2, "local", "auto", True, "2m", "1G")
    assert (here.jobs, here.ray) == (2, None)
    assert (here.limits.isolate, here.limits.timeout, here.limits.memory) == (True, 120.0, 2**30)
    assert execution(1, "ray", "head:6379", False, None, None).ray == "head:6379"


@pytest.mark.usefixtures("tiny_presets", "no_figures")
def test_shards_merge_to_a_run_that_has_nothing_left_to_measure(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index in (1, 2):
        ended = command(*GRID, "--shard", f"{index}/2")
        assert ended.code == 0 and "4 ok" in ended.out and "page:" not in ended.out
        assert not (tmp_path / "results" / f"quick-shard-{index}-of-2" / "tables").exists()
    merged = command("merge", "whole", *sorted((tmp_path / "results").iterdir()))
    assert merged.code == 0 and "8 cells in whole" in merged.out
    ended = command(*GRID, "-o", "whole")
    assert ended.code == 0 and "cells: 8 reused" in ended.out and (tmp_path / "whole" / "index.html").is_file()

    again = command("merge", "whole", "results/quick-shard-1-of-2")
    assert again.code == 0 and "measured twice" not in again.out
    assert len(Store(tmp_path / "whole").stored()) == 8
    assert command("merge", "whole", "nowhere").code == 2
