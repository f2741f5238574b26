"""A damaged file is reported, moved aside and made again; no number is ever read from it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from command_line import Command
from dvae_bench.bench.compare import Run
from dvae_bench.bench.report import Study
from dvae_bench.bench.rows import row
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.timing.block_journal import Journal
from dvae_bench.bench.sources.timing.stopwatch import Block
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.store.cell_file import Damaged, pack, unpack, unpack_rows
from dvae_bench.bench.store.files import UNSEALED, is_sound, replace_file, sealed, sweep
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from tiny import VAE, grid, numbers, one_cell

from .conftest import FUZZED, fuzz

CUT, FLIPPED, EMPTY = "cut short", "one bit flipped", "empty"


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({CUT: content[:-7], FLIPPED: content, EMPTY: b""}[how])


@pytest.mark.parametrize("how", [CUT, FLIPPED, EMPTY])
def test_a_damaged_part_is_put_aside_and_measured_again(how: str, store: Store) -> None:
    cells = grid("rloo", "disarm")
    run_cells(cells, store, Progress())
    before, part = numbers(store), store.part(cells[0].part())
    damage(part, how)
    broken, said = part.read_bytes(), []
    assert run_cells(cells, store, Progress(say=said.append)) == {"reused": 3, "ok": 1}
    aside = store.cells / "quarantine" / part.name
    assert aside.read_bytes() == broken and said == [f"damaged, moved to {aside} and measured again: {cells[0]}"]
    assert_frame_equal(numbers(store), before)


def test_a_report_names_the_damaged_parts_it_leaves_out(store: Store, command: Command, no_figures: None) -> None:
    cells = grid("rloo", "disarm", sources="draws")
    run_cells(cells, store, Progress())
    whole = Study.of(store, "run")
    damage(store.part(cells[0].part()), FLIPPED)
    study = Study.of(store, "run")
    assert study.damaged == [cells[0].part()] and not whole.damaged
    assert set(study.rows["family"]) == {"disarm"} and set(whole.rows["family"]) == {"rloo", "disarm"}
    ended = command("figures", store.folder, "efficiency")
    assert ended.code == 0 and f"left out, damaged: {store.part(cells[0].part())}" in ended.err


def test_a_damaged_run_is_not_compared(store: Store) -> None:
    cell = one_cell()
    run_cells([cell], store, Progress())
    damage(store.part(cell.part()), FLIPPED)
    with pytest.raises(UsageError, match="is damaged and cannot be read"):
        _ = Run.open(store.folder).cells


def test_a_damaged_checkpoint_is_trained_from_the_start(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    cells = grid("rloo", tasks=VAE, sources="steps")
    quiet, said = Store(tmp_path / "quiet"), []
    run_cells(cells, quiet, Progress())
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr("dvae_bench.bench.sources.training.trajectory.Trajectory.point", stop)
        run_cells(cells, store, Progress())
    checkpoint = store.checkpoint(cells[0].part())
    assert Checkpoint(checkpoint).load() is not None
    damage(checkpoint, FLIPPED)
    run_cells(cells, store, Progress(say=said.append))
    assert said == [f"its checkpoint was damaged, so it was trained from the start: {cells[0]}"]
    assert not checkpoint.exists()
    assert_frame_equal(numbers(store), numbers(quiet))


def stop(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_damaged_line_of_timings_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for k in range(5):
        journal.add("a", Block([{"total": float(k)}], 1.0, 2.0, None))
    assert journal.path is not None
    lines = journal.path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"1.0", b"7.0", 1)
    journal.path.write_bytes(b"\n".join(lines))
    assert [block.spans[0]["total"] for block in journal.blocks()["a"]] == [0.0, 2.0, 3.0, 4.0]


class TestFiles:
    def test_files_of_a_dead_process_are_swept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(path: Path, target: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "replace", die)
            patch.setattr(Path, "unlink", lambda path: None)
            replace_file(tmp_path / "a.parquet", b"half")
        (left,) = tmp_path.iterdir()
        sweep(tmp_path)
        assert left.exists(), "this process may still be writing it"
        monkeypatch.setattr("os.kill", lambda process, number: (_ for _ in ()).throw(ProcessLookupError))
        others = tmp_path / ".a.parquet.another-machine.1.ab"
        for path in (others, tmp_path / ".hidden", tmp_path / "a.parquet"):
            path.touch()
        sweep(tmp_path)
        assert not left.exists() and len(list(tmp_path.iterdir())) == 3

    def test_a_seal_holds_for_its_content_alone(self) -> None:
        content = b"before" + UNSEALED + b"after"
        whole = sealed(content, 6)
        assert is_sound(whole, 6) and not is_sound(whole + b".", 6) and not is_sound(content, 6)

    def test_a_text_like_a_seal_is_kept(self) -> None:
        reason = f"\x18\x06sha256\x18@{UNSEALED.decode()}"
        part = unpack(pack("a", "ok", {"said": reason}, [row("m", 1.0, 1, reason=reason)]))
        assert part.settings == {"said": reason} and part.table()["reason"].to_pylist() == [reason]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bits flipped, bytes cut, doubled, put in or moved; or junk."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 64))
        kind = draw(st.sampled_from(["flip", "cut", "drop", "double", "insert", "junk"]))
        if kind == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[place:]
        elif kind == "drop":
            del content[place : place + length]
        elif kind == "double":
            content[place:place] = content[place : place + length]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=16))
        elif kind == "junk":
            content = bytearray(draw(st.binary(max_size=64)))
    return bytes(content)


@FUZZED
def test_no_damage_is_read_as_a_part(examples: int) -> None:
    """100,000: about 3 minutes."""
    rows = [row(f"metric{k}", k / 7, k, blocks=[k / 3, k / 11]) for k in range(9)]
    whole = pack("a", "ok", {"seed": 0}, rows)
    assert unpack(whole).table().num_rows == 9

    def check(content: bytes) -> None:
        for read in (unpack, unpack_rows):
            try:
                read(content)
            except Damaged:
                continue
            assert content == whole

    fuzz(examples, damaged(whole), check)


@FUZZED
def test_no_sealed_junk_crashes_the_reader(examples: int) -> None:
    """Sealed again after the damage, as a forger would: rows or Damaged, never a crash. 100,000: about 5 minutes."""
    whole = pack("a", "ok", {"seed": 0}, [row("metric", 1.0, 2, blocks=[1.0])])
    mark = b"\x18\x06sha256\x18\x40"

    def check(content: bytes) -> None:
        place = content.rfind(mark) + len(mark)
        if place >= len(mark):
            content = sealed(content[:place] + UNSEALED + content[place + 64 :], place)
        for read in (lambda: unpack(content).table(), lambda: unpack_rows(content)):
            try:
                read()
            except Damaged as error:
                assert str(error) and "\n" not in str(error)

    fuzz(examples, damaged(whole), check)


@FUZZED
def test_no_damage_is_read_as_a_checkpoint(examples: int, tmp_path: Path) -> None:
    """100,000: about 4 minutes."""
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    checkpoint.save({"done": 3, "weights": [torch.arange(7.0)]})
    whole = checkpoint.path.read_bytes()  # type: ignore[union-attr]

    def check(content: bytes) -> None:
        checkpoint.path.write_bytes(content)  # type: ignore[union-attr]
        assert content == whole or (checkpoint.load() is None and checkpoint.damaged)

    fuzz(examples, damaged(whole), check)


def test_random_bytes_in_every_file_are_measured_again(store: Store) -> None:
    """Every file of a run at once: nothing crashes, and the run is measured again to the same numbers."""
    cells = grid("rloo", "disarm")
    run_cells(cells, store, Progress())
    before, dice = numbers(store), random.Random(3)
    for path in store.cells.iterdir():
        path.write_bytes(dice.randbytes(dice.randrange(5000)))
    assert Study.of(store, "run").rows.empty
    assert run_cells(cells, store, Progress()) == {"ok": 4}
    assert_frame_equal(numbers(store), before)
