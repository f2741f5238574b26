"""Two commits measured in one job: their code side by side, the same cells alternately, times included."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...estimators.names import UsageError
from ..store import Store
from .runs import Run

ROUNDS = 5


def rerun(refs: tuple[str, str], arguments: list[str], folder: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    """Measure both commits of the checkout one stands in; returns their results folders, below `folder`.

    Draws depend on the seed alone and are measured once; timings in ROUNDS rounds, the order reversed each time, round
    r stored as seed r. Each commit's files are unpacked and found by Python before the installed package; its
    dependencies are those installed. Raises UsageError when git knows no such commit or it is none of dvae-bench.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sides = (folder / "base", folder / "new")
    with tempfile.TemporaryDirectory() as temporary:
        codes = [Path(temporary) / side.name for side in sides]
        for ref, code in zip(refs, codes, strict=True):
            _unpack(ref, code / "dvae_bench")
        for turn in range(ROUNDS):
            order = list(zip(refs, codes, sides, strict=True))
            for ref, code, side in order[:: 1 - 2 * (turn % 2)]:
                say(f"round {turn + 1} of {ROUNDS}: {ref}")
                _run(code, [*arguments, "-o", str(side.resolve())])
                _set_timings_aside(side, turn)
    return sides


def _unpack(ref: str, target: Path) -> None:
    done = subprocess.run(["git", "archive", "--end-of-options", ref], capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"git cannot give {ref!r} ({''.join(reason)}); name a commit of the checkout you stand in")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")
    if not (target / "cli.py").is_file():
        raise UsageError(f"{ref!r} is no commit of dvae-bench; stand in the root of its checkout")


def _run(code: Path, arguments: list[str]) -> None:
    """`dvae-bench run` of the code below `code`. Exit 3 (some cells failed) is for the comparison to tell."""
    environment = os.environ | {"PYTHONPATH": str(code)}
    command = [sys.executable, "-m", "dvae_bench.cli", "run", *arguments]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise UsageError(f"`dvae-bench run` of {code.name} failed: {done.stderr.strip() or done.returncode}")


def _set_timings_aside(folder: Path, turn: int) -> None:
    """Keep this round's timings as those of seed `turn`, so that the next round measures them again."""
    store = Store.open(folder)
    for part in store.cells.glob("*.parquet"):
        cell = Run(store).read(part)
        if cell.subject.source == "clock" and "-round" not in part.stem:
            rows = [row | {"seed": turn} for row in cell.rows]
            store.write(f"{part.stem}-round{turn}", cell.status, cell.settings, rows)
            part.unlink()
