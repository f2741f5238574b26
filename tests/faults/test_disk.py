"""A disk that is full or may not be written: one sentence, exit 2, what is finished kept, the same command goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvae_bench import cli
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.timing.journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.store.files import Unwritable
from dvae_bench.bench.store.store import Store

from .conftest import TINY, grid

CELLS = 12
RUN = ["run", "-e", "rloo:n={2,3}", "-t", "bit:d={1,2,3}", "-o"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line at next to no work: its exit code, and what it printed."""
    monkeypatch.setitem(PRESETS, "quick", TINY)
    monkeypatch.setattr("dvae_bench.bench.report.write_figures", lambda *rest, **more: ([], []))
    monkeypatch.setattr("dvae_bench.bench.run.session.write_page", lambda studies, path: path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dvae-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
            sys.exit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return call


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


def refused(code: int, errors: str, *words: str) -> bool:
    """Whether it was one sentence with all these words, and exit 2."""
    return code == 2 and errors.startswith("error: ") and errors.count("\n") == 1 and all(map(errors.count, words))


def test_a_full_disk_keeps_what_is_finished(disk: Disk, run: Run) -> None:
    store = Store(disk.folder / "results")
    code, out, errors = run(*RUN, store.folder)
    assert refused(code, errors, "No space left on device", "make room", "the same command goes on"), errors
    finished = store.stored()
    assert 0 < len(finished) < CELLS and not store.damaged(finished) and "FAILED" not in out
    assert {path.suffix for path in store.cells.iterdir()} == {".parquet"}, "nothing half written is left"
    disk.grow()
    code, out, _ = run(*RUN, store.folder)
    assert code == 0 and f"{len(finished)} finished already" in out and len(store.stored()) == CELLS


def test_a_folder_that_may_not_be_written(disk: Disk, run: Run) -> None:
    disk.grow()
    small = ["run", "-e", "rloo", "-t", "bit", "-o", disk.folder / "results"]
    assert run(*small)[0] == 0
    disk.protect()
    kept = Store(disk.folder / "results").stored()
    for arguments in (small, [*small[:-1], disk.folder / "other"], ["report", disk.folder / "results"]):
        code, _, errors = run(*arguments)
        assert refused(code, errors, "Read-only file system", str(disk.folder)), errors
    assert Store(disk.folder / "results").stored() == kept


def test_a_file_where_the_folder_should_be(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, errors = run("run", "-e", "rloo", "-t", "bit", "-o", folder)
        assert refused(code, errors, str(folder)), errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_no_cell_is_blamed_for_the_disk(number: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where a checkpoint cannot be written, in the middle of a training, nor where a block of timings cannot."""

    def fail(path: Path, *rest: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Checkpoint, "every", 0.0)
    training = grid("rloo", tasks="mnist-vae:arch=linear,batch=8", source="steps", data="mnist-5k")
    for cells, what in ((training, "write_bytes"), (grid("rloo", source="clock"), "open")):
        with pytest.raises(Unwritable, match=os.strerror(number)), monkeypatch.context() as patch:
            patch.setattr(Path, what, fail if what == "write_bytes" else failing_open(fail))
            run_cells(cells, store, Progress())
        assert store.stored() == []
        assert run_cells(cells, store, Progress()) == {"ok": 1}
        store.part(cells[0].part()).unlink()


def test_a_result_that_met_a_full_disk_once_is_no_error_of_its_cell(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, write, tries = grid("rloo"), Store.write, []

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
