"""A results folder from a stranger: links, FIFOs and devices in it, odd contexts, odd and huge parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Command
from dvae_bench.bench.report.figures.write import write_figures
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.timing.block_journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.store.files import Damaged, Unwritable, read_file
from dvae_bench.bench.store.merge import merge
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from tiny import grid

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="links and FIFOs are those of POSIX"),
    pytest.mark.usefixtures("no_figures"),
]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two cells."""
    store = Store(tmp_path_factory.mktemp("healthy") / "results")
    store.write_context({"schema": 1})
    run_cells(grid("rloo", "disarm", sources="draws"), store, Progress())
    return store.folder


@pytest.fixture
def run(healthy: Path, store: Store) -> Store:
    """A copy of it."""
    shutil.copytree(healthy, store.folder)
    return store


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the results, in which nothing may change."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("precious", "toys.csv", "skipped.txt", "bias.pdf"):
        (folder / name).write_text("mine")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("precious", "toys.csv", "skipped.txt", "bias.pdf"), "mine"
    )


class TestWriting:
    @pytest.mark.parametrize("name", ["index.html", "tables/toys.csv", "figures/skipped.txt"])
    def test_report_writes_through_no_link(self, name: str, run: Store, elsewhere: Path, command: Command) -> None:
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).symlink_to(elsewhere / "precious")
        ended = command("report", run.folder)
        assert ended.refused(f"cannot write {run.folder / name}", "is a symbolic link; remove it")

    def test_figures_are_drawn_through_no_link(self, run: Store, elsewhere: Path) -> None:
        (run.folder / "figures").mkdir()
        (run.folder / "figures" / "bias.pdf").symlink_to(elsewhere / "precious")
        with pytest.raises(Unwritable, match=r"bias.pdf is a symbolic link"):
            write_figures(run.rows(), run.folder / "figures", ["bias"])
        (run.folder / "linked").symlink_to(elsewhere)
        with pytest.raises(Unwritable, match=r"linked is a symbolic link"):
            write_figures(run.rows(), run.folder / "linked", ["bias"], below=run.folder)

    @pytest.mark.parametrize("name", ["tables", "figures"])
    def test_report_writes_into_no_linked_folder(
        self, name: str, run: Store, elsewhere: Path, command: Command
    ) -> None:
        (run.folder / name).symlink_to(elsewhere)
        assert command("report", run.folder).refused(f"{run.folder / name} is a symbolic link")

    def test_reports_of_several_runs_write_through_no_link(
        self, run: Store, elsewhere: Path, command: Command, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "run-2").symlink_to(elsewhere)
        assert command("report", run.folder, run.folder, "-o", out).refused(f"{out / 'run-2'} is a symbolic link")

    def test_a_run_writes_through_no_link(self, run: Store, elsewhere: Path, tmp_path: Path) -> None:
        other = Store(tmp_path / "other")
        other.folder.mkdir()
        other.cells.symlink_to(elsewhere)
        for write in (
            lambda: other.write_context({}),
            lambda: other.put("a", b"content"),
            lambda: merge(other.folder, [run.folder]),
        ):
            with pytest.raises(Unwritable, match=r"cells is a symbolic link"):
                write()

    def test_the_folder_that_the_user_named_may_be_a_link(self, run: Store, command: Command, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(run.folder)
        assert command("report", tmp_path / "link").code == 0 and (run.folder / "index.html").is_file()

    def test_a_file_of_a_report_is_written_whole_or_not_at_all(
        self, run: Store, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert command("report", run.folder).code == 0
        before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}

        def full(path: Path, content: bytes) -> int:
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        assert command("report", run.folder).refused("No space left on device", "make room")
        assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before

    def test_timings_are_not_appended_to_a_fifo(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "journal.jsonl")
        with pytest.raises(Unwritable, match="it is a FIFO, not a file"):
            Journal(tmp_path / "journal.jsonl").add("a", Block([], 1.0, 2.0, None))
        with pytest.raises(UsageError, match="it is a FIFO, not a file"):
            Journal(tmp_path / "journal.jsonl").blocks()


def put_in_place(path: Path, what: str) -> None:
    """Replace a file by a FIFO, a folder, an endless device, or a link."""
    path.unlink(missing_ok=True)
    match what:
        case "a FIFO":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case "a symbolic link":
            path.symlink_to("/dev/zero")


KINDS = pytest.mark.parametrize("what", ["a FIFO", "a folder", "a symbolic link"])


class TestReading:
    @KINDS
    def test_no_part_hangs_or_fills_the_memory(self, what: str, run: Store, command: Command, tmp_path: Path) -> None:
        kept, odd = run.stored()
        path = run.part(odd)
        put_in_place(path, what)
        assert not run.finished(odd) and run.damaged(run.stored()) == [odd] == run.read().damaged
        for arguments in (["merge", tmp_path / "out", run.folder], ["compare", run.folder, run.folder]):
            assert command(*arguments).refused(f"{path} is damaged and cannot be read", f"it is {what}, not a file")
        ended = command("report", run.folder)
        assert ended.code == 0 and ended.err.startswith(f"left out, damaged: {path}")
        assert run.quarantine(odd) and run.stored() == [kept]

    @KINDS
    def test_no_other_file_hangs_or_fills_the_memory(self, what: str, run: Store, tmp_path: Path) -> None:
        put_in_place(run.folder / "context.json", what)
        with pytest.raises(UsageError, match=f"context.json is damaged .it is {what}"):
            run.context()
        put_in_place(tmp_path / "a.safetensors", what)
        checkpoint = Checkpoint(tmp_path / "a.safetensors")
        assert checkpoint.load() is None and checkpoint.damaged

    def test_a_large_file_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(Damaged, match="it has 1099511627776 bytes"):
            read_file(tmp_path / "sparse")
