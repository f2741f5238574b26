"""Every command on every page of docs/ runs, those of one page in order in a new folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from documents import PAGES, ROOT, Page, save_files
from dvae_bench.bench.report import write_figures

RUNS_MINUTES = ("seed-document.md",)
RUNS_EVERYTHING = ("scaling.md",)  # for days, as it says: one estimator on one toy stands for all
ARRAY_OF_ONE = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1"}
COMMANDING = pytest.mark.parametrize(
    "page", [page for page in PAGES if any(words[0] == "dvae-bench" for words in page.commands)], ids=str
)
MAKE = sorted({words[1] for page in PAGES for words in page.commands if words[0] == "make"})
Command = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands, the files saved that the pages ask for."""
    save_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in ARRAY_OF_ONE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def figures_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only figures that a command names are drawn: all of a run's take seconds."""

    def write(rows: Any, folder: Path, names: Any = None, *style: Any, **more: Any) -> Any:
        return write_figures(rows, folder, names, *style) if names else ([], [])

    monkeypatch.setattr("dvae_bench.bench.report.write_figures", write)


def run_all(page: Page, command: Command, change: Callable[[list[str]], list[str]]) -> None:
    for name, *words in page.commands:
        if name == "dvae-bench" and "ray" not in words:  # tests/bench/test_ray.py starts a cluster
            ended = command(*change(expanded(words)))
            assert ended.code == 0, f"dvae-bench {' '.join(words)}\n{ended.out}\n{ended.err}"


def expanded(words: list[str]) -> list[str]:
    """As a shell does it: variables, then files."""
    known = [os.path.expandvars(word) for word in words]
    return [each for word in known for each in (sorted(map(str, Path().glob(word))) if "*" in word else []) or [word]]


@COMMANDING
def test_a_pages_commands_run(
    page: Page, folder: Path, command: Command, tiny_presets: None, figures_by_name: None
) -> None:
    """At next to no work; what takes minutes even so is planned only."""
    more = ["--dry-run"] if page.name in RUNS_MINUTES else []
    run_all(page, command, lambda words: [*fewer(words, page), *more] if words[0] == "run" else words)


@pytest.mark.full
@COMMANDING
def test_a_pages_commands_run_in_full(page: Page, folder: Path, command: Command) -> None:
    """As printed, but for trainings of many steps, which take few (`make seed` runs those), and for days of work."""
    cut = fewer if page.name in RUNS_EVERYTHING else lambda words, page: words
    run_all(page, command, lambda words: shortened(cut(words, page) if words[0] == "run" else words))


def shortened(words: list[str]) -> list[str]:
    return ["20" if before == "--steps" else word for before, word in pairwise(["", *words])]


def fewer(words: list[str], page: Page) -> list[str]:
    words = ["rloo" if word == "all" else word for word in words]
    return [*words, "-t", "bit"] if page.name in RUNS_EVERYTHING else words


@pytest.mark.parametrize("target", MAKE)
def test_a_documented_make_target_exists(target: str) -> None:
    """make knows all that it would have to do."""
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
