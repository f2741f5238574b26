"""On a full or read-only disk a run exits with 2 and one sentence, keeps its finished cells, and can be resumed."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Command
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.timing.block_journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.store.files import Unwritable
from dvae_bench.bench.store.store import Store
from tiny import VAE, grid

pytestmark = pytest.mark.usefixtures("tiny_presets", "no_figures", "no_page")

CELLS = 12
RUN = ["run", "-e", "rloo:n={2,3}", "-t", "bit:d={1,2,3}", "-o"]


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=96k", "tmpfs")

    def grow(self) -> None:
        self._mount("-o", "remount,size=64m")

    def protect(self) -> None:
        self._mount("-o", "remount,ro")

    def remove(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = Disk(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield disk
    disk.remove()


def test_a_full_disk_keeps_what_is_finished(disk: Disk, command: Command) -> None:
    store = Store(disk.folder / "results")
    ended = command(*RUN, store.folder)
    assert ended.refused("No space left on device", "make room", "the same command goes on")
    finished = store.stored()
    assert 0 < len(finished) < CELLS and not store.damaged(finished) and "FAILED" not in ended.out
    assert {path.suffix for path in store.cells.iterdir()} == {".parquet"}, "nothing half written is left"
    disk.grow()
    ended = command(*RUN, store.folder)
    assert ended.code == 0 and f"{len(finished)} finished already" in ended.out and len(store.stored()) == CELLS


def test_a_folder_that_may_not_be_written_is_refused(disk: Disk, command: Command) -> None:
    disk.grow()
    small = ["run", "-e", "rloo", "-t", "bit", "-o", disk.folder / "results"]
    assert command(*small).code == 0
    disk.protect()
    kept = Store(disk.folder / "results").stored()
    for arguments in (small, [*small[:-1], disk.folder / "other"], ["report", disk.folder / "results"]):
        assert command(*arguments).refused("Read-only file system", str(disk.folder))
    assert Store(disk.folder / "results").stored() == kept


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert command("run", "-e", "rloo", "-t", "bit", "-o", folder).refused(str(folder))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_no_cell_is_blamed_for_the_disk(number: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where a checkpoint cannot be written, in the middle of a training, nor where a block of timings cannot."""

    def fail(path: Path, *rest: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Checkpoint, "every", 0.0)
    training = grid("rloo", tasks=VAE, sources="steps")
    for cells, what in ((training, "write_bytes"), (grid("rloo", sources="clock"), "open")):
        with pytest.raises(Unwritable, match=os.strerror(number)), monkeypatch.context() as patch:
            patch.setattr(Path, what, fail if what == "write_bytes" else failing_open(fail))
            run_cells(cells, store, Progress())
        assert store.stored() == []
        assert run_cells(cells, store, Progress()) == {"ok": 1}
        store.part(cells[0].part()).unlink()


def test_a_result_that_met_a_full_disk_once_is_no_error_of_its_cell(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, write, tries = grid("rloo", sources="draws"), Store.write, []

    def full_once(self: Store, *rest: object) -> None:
        tries.append(rest)
        if len(tries) == 1:
            raise Unwritable("no space left")
        write(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "write", full_once)
    with pytest.raises(Unwritable):
        run_cells(cells, store, Progress())
    assert store.stored() == []
    assert run_cells(cells, store, Progress()) == {"ok": len(cells)}


def failing_open(fail: Callable[..., None]) -> Callable[..., object]:
    whole = Path.open
    return lambda path, mode="r", *rest, **named: fail(path) if "a" in mode else whole(path, mode, *rest, **named)


def test_a_journal_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match=r"journal\.jsonl"):
        Journal(tmp_path / "file" / "journal.jsonl").add("a", Block([], 1.0, 2.0, None))
