"""A results folder from a stranger: links, FIFOs and devices in it, odd contexts, odd and huge parts."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import Command
from dvae_bench.bench.compare import Run
from dvae_bench.bench.compare.comparison import compare
from dvae_bench.bench.compare.history import history_table
from dvae_bench.bench.compare.show import junit, markdown
from dvae_bench.bench.protocols.scale import Scale
from dvae_bench.bench.report import Study
from dvae_bench.bench.report.figures.write import write_figures
from dvae_bench.bench.reports import write_reports
from dvae_bench.bench.rows import Quantity, Row, row
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.timing.block_journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.store.cell_file import ARROW_SCHEMA, pack, tidied, unpack, unpack_rows
from dvae_bench.bench.store.files import UNSEALED, Damaged, Unwritable, read_file, sealed
from dvae_bench.bench.store.merge import merge
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from pandas.testing import assert_frame_equal
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


ODD_CONTEXTS = {
    "a list": "[]",
    "null": "null",
    "a number": "3",
    "a text": '"context"',
    "deep": "[" * 100_000,
    "deep in an entry": '{"command": ' + "[" * 400 + "]" * 400 + "}",
    "half a surrogate pair": '{"started": "\\ud800"}',
    "a number of 5000 digits": '{"schema": ' + "1" * 5000 + "}",
    "odd schema": '{"schema": "new"}',
    "odd start": '{"started": 3}',
    "odd git": '{"git": "abc"}',
    "odd commit": '{"git": {"commit": 7}}',
    "odd versions": '{"versions": ["torch"]}',
    "odd merged": '{"merged": 3}',
    "odd merged contexts": '{"merged": [3]}',
    "odd merged start": '{"merged": [{"started": []}]}',
    "odd reproduction": '{"reproduction": 3}',
}


class TestContext:
    @pytest.mark.parametrize("text", ODD_CONTEXTS.values(), ids=ODD_CONTEXTS)
    def test_an_odd_context_is_refused_in_one_sentence(
        self, text: str, run: Store, command: Command, tmp_path: Path
    ) -> None:
        (run.folder / "context.json").write_text(text)
        for arguments in (
            ["report", run.folder],
            ["compare", run.folder, run.folder],
            ["history", "var_total", run.folder],
            ["merge", tmp_path / "out", run.folder],
            ["run", "-e", "rloo", "-t", "bit", "-o", run.folder],
        ):
            assert command(*arguments).refused("context.json is damaged", "delete it and run again")

    def test_a_healthy_context_is_read(self, run: Store) -> None:
        whole = {"schema": 1, "git": None, "started": "2026", "merged": [{"git": {"commit": "a", "dirty": True}}]}
        run.write_context(whole)
        assert run.context() == whole

    def test_an_odd_scale_is_not_taken_up(self) -> None:
        most = Scale(100, 3)
        assert Scale.stored({"steps": 50, "seeds": 2, "trials": 1}, most) == Scale(50, 2, trials=1)
        for odd in (None, 3, {}, {"steps": 10**12, "seeds": 2, "trials": 1}, {"steps": "x", "seeds": 2, "trials": 1}):
            assert Scale.stored(odd, most) is None
        for more in ({"steps": 50, "seeds": 2, "trials": 0}, {"steps": 50, "seeds": 2, "trials": 5}):
            assert Scale.stored(more, Scale(100, 3, trials=4)) is None


def forged(settings: bytes = b"{}", table: pa.Table | None = None, **options: object) -> bytes:
    """A whole, sealed part of a forger: any settings, any table."""
    table = ARROW_SCHEMA.empty_table() if table is None else table
    about = {"schema": "1", "key": "a", "status": "ok", "settings": settings, "sha256": UNSEALED}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(about), sink, **options)
    content = sink.getvalue().to_pybytes()
    return sealed(content, content.rfind(b"\x18\x06sha256\x18\x40") + 10)


def repeated(count: int, text: str = "m") -> pa.Table:
    """A table of so many rows with this reason: a few bytes in a file, however many there are."""
    columns = {name: pa.nulls(count, kind) for name, kind in zip(ARROW_SCHEMA.names, ARROW_SCHEMA.types, strict=True)}
    indices = pa.array(np.zeros(count, dtype=np.int32))
    return pa.table(columns | {"reason": pa.DictionaryArray.from_arrays(indices, pa.array([text]))})


def with_blocks(count: int, column: str = "blocks") -> pa.Table:
    numbers = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.array(np.zeros(count)))
    return repeated(1).set_column(ARROW_SCHEMA.names.index(column), column, numbers)


FORGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "settings are a list": (lambda: forged(b"[]"), "no JSON object"),
    "settings are null": (lambda: forged(b"null"), "no JSON object"),
    "settings are deep": (lambda: forged(b"[" * 100_000), "recursion"),
    "settings are large": (lambda: forged(b'{"a": "' + b"x" * 2_000_000 + b'"}'), "its settings have 2000009 bytes"),
    "20 million rows": (lambda: forged(table=pa.table({"step": pa.nulls(20_000_000, pa.int8())})), "20000000 rows"),
    "a column is missing": (lambda: forged(table=pa.table({"value": [1.0]})), "no column estimator"),
    "a block of 20 million": (lambda: forged(table=with_blocks(20_000_000)), "more than any cell"),
    "a number of 20 million": (lambda: forged(table=with_blocks(20_000_000, "value")), "more than any cell"),
    "a long text, often": (lambda: forged(table=repeated(20_000, "x" * 50_000)), "its texts are longer"),
    "no text": (lambda: forged(table=repeated(1).set_column(0, "estimator", pa.array([b"\xff"]))), "UTF8"),
}


class TestParts:
    @pytest.mark.parametrize(("make", "why"), FORGED.values(), ids=FORGED)
    def test_a_forged_part_is_damaged(self, make: Callable[[], bytes], why: str) -> None:
        content = make()
        assert len(content) < 10_000_000
        with pytest.raises(Damaged, match=why):
            unpack(content).table()
        with pytest.raises(Damaged, match=why):
            unpack_rows(content)

    def test_a_part_is_read_in_one_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the column of blocks, which can hold more numbers than rows, is scanned before everything is read."""
        rows, scanned = [row("m", Quantity(1.0, 0.1, 0.8, 1.2), 2, blocks=[1.0, 2.0])], []
        content = pack("a", "ok", {"seed": 1}, rows)
        monkeypatch.setattr(pq.ParquetFile, "scan_contents", lambda file, columns=None: scanned.append(columns))
        part, table = unpack_rows(content)
        assert scanned == [["blocks"]] and part.settings == {"seed": 1} and table == unpack(content).table()

    def test_a_forged_part_does_not_take_the_report_with_it(self, run: Store, command: Command) -> None:
        one, _ = run.stored()
        run.put("forged", forged(b"[]"))
        run.put("strange", forged(table=pa.table({"value": [1.0]})))
        wider = run.parts([one])[0].table().append_column("new", pa.array(["x"] * run.rows([one]).shape[0]))
        before = len(run.rows([one]))
        run.put(one, forged(b'{"settings": 3, "source": [], "estimator": {}}', wider))
        assert len(run.rows([one])) == before, "a column of a newer version is left out, its rows are not"
        assert command("report", run.folder).code == 0
        assert run.read().damaged == ["forged", "strange"]
        page = (run.folder / "index.html").read_text()
        assert "2 damaged cells" in page and "forged" in page

    def test_a_folder_has_a_cap(self, run: Store, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
        monkeypatch.setattr("dvae_bench.bench.store.store.MOST_ROWS", 10)
        for arguments in (["report", run.folder], ["compare", run.folder, run.folder]):
            assert command(*arguments).refused("holds more than 10 rows", "several folders")


def numbers(**changed: object) -> Callable[[Row], Row]:
    return lambda row: row | changed


def blocks(*values: float) -> Callable[[Row], Row]:
    return lambda row: row | {"blocks": list(values) if row["blocks"] is not None else None}


EXTREMES = (0.0, -1.0, 1e308, -1e308, 5e-324, 1e-200, 1e160, math.inf)
ODD_ROWS: list[Callable[[Row], Row]] = [
    *(numbers(value=x, se=x, lo=x, hi=x) for x in EXTREMES),
    *(numbers(lo=x) for x in (-1.0, -1e308)),
    numbers(hi=1e308),
    numbers(n=0),
    numbers(n=-5),
    numbers(seed=None, step=None, n=None, group=None, unit=None, reason=None),
    blocks(),
    blocks(1.0),
    blocks(-1.0, 1.0, -3.0),
    blocks(1e308, 1e308),
    numbers(estimator="rloo:n={1,2}", task="bit:d={1,2}"),
    numbers(estimator=":::=", task="bit:t=zzz,logit=-4000"),
    dict.fromkeys,  # type: ignore[list-item]
]


class TestRows:
    def test_odd_rows_are_shown_and_compared(self, run: Store, tmp_path: Path) -> None:
        """No traceback and no warning, whatever stands in a row, beside healthy rows of the same subject or alone."""
        healthy, strange = Store(tmp_path / "a"), Store(tmp_path / "b")
        rows = [timed(each) for each in records(run.rows(run.stored()[:1]))]
        for store in (healthy, strange):
            store.write_context({})
        for k, odd in enumerate(ODD_ROWS):
            own = [each | {"estimator": f"rloo:n={k + 2}"} for each in rows]
            healthy.write(f"{k:02}", "ok", {}, own)
            strange.write(f"{k:02}", "ok", {}, [odd(each) for each in own])
        files = write_reports([healthy.folder, strange.folder], tmp_path / "out")
        assert not Study.of(strange, "b").damaged and files[-1].is_file()
        for base, new in ((healthy, strange), (strange, healthy), (strange, strange)):
            comparison = compare(Run.open(base.folder), Run.open(new.folder), lambda _: "one look only")
            assert markdown(comparison, "a", "b") and junit(comparison)
        assert "task" in history_table("var_total", [healthy.folder, strange.folder], ["*"], ["*"])

    def test_healthy_rows_stay_as_they_are(self) -> None:
        rows = [row("m", Quantity(x, x, -x, x), 3, blocks=[x, -x], group="g") for x in (1e99, 5e-324, 0.5, math.nan)]
        content = pack("a", "ok", {}, [dict.fromkeys(("estimator", "task"), "x") | {"seed": 1} | each for each in rows])
        plain = unpack(content).table()
        whole = plain.set_column(0, "estimator", plain["estimator"])
        assert_frame_equal(
            tidied(whole).to_pandas()[["value", "se", "lo", "hi", "n", "seed", "group", "blocks"]],
            whole.to_pandas()[["value", "se", "lo", "hi", "n", "seed", "group", "blocks"]],
        )


def records(frame: pd.DataFrame) -> list[Row]:
    found: list[Row] = frame.to_dict("records")  # type: ignore[assignment]
    return [each | {"blocks": None if each["blocks"] is None else list(each["blocks"])} for each in found]


def timed(each: Row) -> Row:
    """The variance as a time, so that times are compared too."""
    return each | ({"metric": "time_total", "group": "", "blocks": None} if each["metric"] == "bias_norm" else {})
