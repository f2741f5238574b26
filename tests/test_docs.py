"""The documents are true: generated pages are fresh, and the README's code and the examples run."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import Command

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a script of ours from another folder; what it printed."""

    def run(path: str, *arguments: str) -> str:
        monkeypatch.chdir(ROOT.anchor)
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(str(ROOT / path), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_generated_pages_are_fresh(script: Callable[..., str]) -> None:
    script("scripts/make_docs.py", "--check")
    script("scripts/seed_document.py", "fill", "--check")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[1][:30])
def test_readme_code_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block, "README.md", "exec"), {"torch": torch})


def test_the_readmes_plugin_conforms(command: Command, plugin_file: Callable[..., Path]) -> None:
    (block,) = [block for block in BLOCKS if "(Estimator)" in block]
    lines = command("check", "--plugin", plugin_file("two-draws", source=block)).out.splitlines()
    assert len(lines) == 13 and all(line.startswith("two-draws ") for line in lines)


@pytest.mark.parametrize("page", ["README.md", "docs/seed-document.md"])
def test_a_page_names_no_missing_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_stored_figure_is_shown_and_every_stored_table_of_the_seed_document() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = {page: re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")) for page in pages}
    figures = {(page.parent / link).resolve() for page in pages for link in links[page]}
    tables = re.findall(r"<!-- table: (\S+)/(\S+): ", (ROOT / "docs" / "seed-document.md").read_text(encoding="utf-8"))
    stored = ROOT / "results" / "reference"
    assert {*stored.rglob("*.png")} == {figure for figure in figures if figure.is_relative_to(stored)}
    assert {*stored.glob("seed/*/tables/*")} == {
        stored / "seed" / run / "tables" / f"{name}.md" for run, name in tables
    }


def test_the_commands_of_the_seed_documents_page_can_be_run(command: Command) -> None:
    """Their plans; `make seed` runs them."""
    page = (ROOT / "docs" / "seed-document.md").read_text(encoding="utf-8")
    commands = re.findall(r"^dvae-bench (run .+)$", re.sub(r"\\\n\s*", "", page), re.MULTILINE)
    assert len(commands) == 15
    for line in commands:
        planned = command(*shlex.split(line), "--dry-run")
        assert planned.code == 0 and re.match(r"[1-9]\d* cells: ", planned.out), planned


def test_contributing_names_every_room() -> None:
    named = re.findall(r"^ *\| `(\w+)/`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "bench").glob("*/__init__.py"))


def test_rebar_example_trains(script: Callable[..., str]) -> None:
    bounds = [float(value) for value in re.findall(r"ELBO ([\d.]+)", script("examples/train_rebar.py"))]
    assert bounds[-1] < bounds[0]


def test_example_plugin_is_listed(command: Command) -> None:
    assert "antithetic" in command("list", "--plugin", ROOT / "examples" / "my_estimator.py").out
