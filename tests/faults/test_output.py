"""Whatever becomes of standard output, a command measures all, writes its files, and exits with its own code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dvae_bench import cli
from dvae_bench.bench.check.suite import Result
from dvae_bench.bench.store.store import Store

RUN = ("run", "-e", "rloo", "-t", "bit", "-o")

Into = Callable[..., int]

pytestmark = pytest.mark.usefixtures("tiny_presets", "no_figures", "no_page")


@pytest.fixture
def into(monkeypatch: pytest.MonkeyPatch) -> Into:
    """The exit code of `dvae-bench ARGUMENTS` whose standard output is this descriptor."""

    def call(descriptor: int, *arguments: object, encoding: str = "utf-8") -> int:
        with io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w")), encoding) as stream:
            monkeypatch.setattr(sys, "argv", ["dvae-bench", *map(str, arguments)])
            monkeypatch.setattr(sys, "stdout", stream)
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert sys.stdout is stream
        assert end.value.code is None or isinstance(end.value.code, int)
        return end.value.code or 0

    return call


def without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_encoding_without_a_character_gets_an_escape(into: Into, tmp_path: Path, encoding: str) -> None:
    """µ, ± and ∇, which came after everything was measured, or in the first line of `show`."""
    with (tmp_path / "output").open("wb") as file:
        assert into(os.dup(file.fileno()), *RUN, tmp_path / "run", encoding=encoding) == 0
        assert into(os.dup(file.fileno()), "table", tmp_path / "run", encoding=encoding) == 0
    assert into(os.open(os.devnull, os.O_WRONLY), "show", "gumbel-softmax", encoding=encoding) == 0
    printed = (tmp_path / "output").read_text(encoding)
    assert "page: " in printed and ("\\xb5s" in printed or "µs" in printed)
    assert list((tmp_path / "run" / "tables").iterdir())


def test_a_reader_that_goes_away_costs_no_cell_and_changes_no_exit_code(
    into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`| head -1`: a run measures all, and a verdict stays a verdict."""
    results = [Result("rloo", "bias", status, "") for status in ["ok"] * 1000 + ["FAILED"]]
    monkeypatch.setattr("dvae_bench.bench.check.check", lambda names, timeout: iter(results))
    assert into(without_reader(), *RUN, tmp_path / "run") == 0
    store = Store(tmp_path / "run")
    assert [store.status(key) for key in store.stored()] == ["ok"] * 2
    assert into(without_reader(), "list") == 0
    assert into(without_reader(), "list", "nothing") == 2
    assert into(without_reader(), "check", "rloo") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")
def test_a_log_on_a_full_disk_costs_no_cell_and_is_named_at_the_end(
    into: Into, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert into(os.open("/dev/full", os.O_WRONLY), *RUN, tmp_path / "run") == 2
    assert len(Store(tmp_path / "run").stored()) == 2 and list((tmp_path / "run" / "tables").iterdir())
    assert capsys.readouterr().err.startswith("error: No space left on device: 'standard output'; make room")


def test_a_pipe_that_its_reader_made_non_blocking_gets_everything(into: Into) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = []
    with open(reader, "rb") as file:  # noqa: PTH123
        thread = threading.Timer(0.3, lambda: received.append(file.read()))  # once the pipe is full
        thread.start()
        assert into(writer, "list", "--json") == 0
        thread.join()
    assert len(received[0]) > 2**16, "more than a pipe holds"
    assert received[0].endswith(b"]\n")


@pytest.mark.parametrize(
    ("closed", "arguments", "code"), [(">&-", "show rloo", 0), ("2>&-", "show roolo", 2), (">&- 2>&- <&-", "list", 0)]
)
def test_closed_streams_are_as_good_as_the_null_device(closed: str, arguments: str, code: int) -> None:
    command = f'exec "{sys.executable}" -m dvae_bench.cli {arguments} {closed}'
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert ended.returncode == code and "Traceback" not in ended.stderr
