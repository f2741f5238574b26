"""Measure two commits in one job: a wheel of each, the same cells in alternation, timings included."""

from __future__ import annotations

import importlib.metadata
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
from ..sources import SOURCES
from ..store.store import Store
from .runs import Run

ROUNDS = 5
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
TOOLS = {"pip": "python -m ensurepip", "setuptools": "python -m pip install setuptools"}
FOUND = "import importlib.util; print(importlib.util.find_spec('dvae_bench').origin)"


def rerun(refs: tuple[str, str], arguments: list[str], folder: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    """Measure both commits of the current checkout; returns their results folders, below `folder`.

    Draws depend on the seed alone and are measured once; timings in ROUNDS rounds, with the order of the commits
    reversed each time and round r stored as seed r. Each commit's wheel is installed into its own folder, which Python
    searches before the installed package; the dependencies are the installed ones. Raises UsageError when git does not
    know a commit, a commit cannot be built or run, or pip or setuptools is missing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sides = (folder / "base", folder / "new")
    with tempfile.TemporaryDirectory() as temporary:
        places = [Path(temporary) / side.name for side in sides]
        for ref, place in zip(refs, places, strict=True):
            _unpack(ref, place / "source")
        for ref, place in zip(refs, places, strict=True):
            say(f"building {ref}")
            _install(ref, place)
        for turn in range(ROUNDS):
            order = list(zip(refs, places, sides, strict=True))
            for ref, place, side in order[:: 1 - 2 * (turn % 2)]:
                say(f"round {turn + 1} of {ROUNDS}: {ref}")
                _run(ref, place, [*arguments, "-o", str(side.resolve())])
                _set_timings_aside(side, turn)
    return sides


def _unpack(ref: str, target: Path) -> None:
    done = subprocess.run(["git", "archive", "--end-of-options", ref], capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"git cannot export {ref!r} ({''.join(reason)}); name a commit of the current checkout")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")
    if not (target / "cli.py").is_file() or not (target / "pyproject.toml").is_file():
        raise UsageError(f"{ref!r} is not a commit of dvae-bench; run this in the root of its checkout")


def _install(ref: str, place: Path) -> None:
    """Build the wheel of `source` and install it into `code`; nothing is downloaded."""
    installed = {each.name for each in importlib.metadata.distributions()}
    for tool, remedy in TOOLS.items():
        if tool not in installed:
            raise UsageError(f"--rerun builds wheels with {tool}, which {sys.executable} lacks; run `{remedy}`")
    _pip(ref, place, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "./source")
    wheels = [str(wheel) for wheel in (place / "wheels").glob("*.whl")]
    _pip(ref, place, "install", "--no-deps", "--no-index", "--target", "code", *wheels)
    found = subprocess.run([sys.executable, "-c", FOUND], cwd=place, env=_environment(place), capture_output=True)
    if not Path(found.stdout.decode().strip()).is_relative_to(place / "code"):
        raise UsageError(f"another dvae_bench hides the wheel of {ref!r}; run --rerun where PYTHONPATH is respected")


def _pip(ref: str, place: Path, *arguments: str) -> None:
    done = subprocess.run([*PIP, *arguments], cwd=place, capture_output=True, text=True)
    if done.returncode:
        reason = next(
            (line.strip() for line in reversed(done.stderr.splitlines()) if "rror: " in line), done.returncode
        )
        raise UsageError(f"the wheel of {ref!r} cannot be built ({reason}); fix that commit or name another")


def _run(ref: str, place: Path, arguments: list[str]) -> None:
    """`dvae-bench run` of the wheel. The comparison reports cells that failed (exit 3)."""
    command = [sys.executable, "-m", "dvae_bench.cli", "run", *arguments]
    done = subprocess.run(command, cwd=place, env=_environment(place), capture_output=True, text=True)
    if done.returncode not in (0, 3):
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].removeprefix("error: ")
        raise UsageError(f"`dvae-bench run` of {ref!r} failed: {reason}")


def _environment(place: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(place / "code")}


def _set_timings_aside(folder: Path, turn: int) -> None:
    """Store this round's timings under seed `turn`, so that the next round measures again."""
    store = Store.open(folder)
    for part in store.cells.glob("*.parquet"):
        cell = Run(store).read(part)
        if SOURCES[cell.subject.source].alone and "-round" not in part.stem:
            rows = [row | {"seed": turn} for row in cell.rows]
            store.write(f"{part.stem}-round{turn}", cell.status, cell.settings, rows)
            part.unlink()
