"""The documents are true: generated pages are fresh, the README's code runs, examples work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from dvae_bench.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT.anchor)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_generated_pages_are_fresh() -> None:
    run(str(ROOT / "scripts" / "make_docs.py"), "--check")
    run(str(ROOT / "scripts" / "seed_document.py"), "fill", "--check")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[1][:30])
def test_readme_code_runs(block: str) -> None:
    run("-c", "import torch\n" + block)


def test_the_readmes_plugin_conforms(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "(Estimator)" in block]
    plugin = tmp_path / "plugin.py"
    plugin.write_text(block)
    lines = run("-m", "dvae_bench.cli", "check", "--plugin", str(plugin)).splitlines()
    assert len(lines) == 12 and all(line.startswith("two-draws ") for line in lines)


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


def test_the_commands_of_the_seed_documents_page_can_be_run() -> None:
    """Their plans; `make seed` runs them."""
    page = (ROOT / "docs" / "seed-document.md").read_text(encoding="utf-8")
    commands = re.findall(r"^dvae-bench (run .+)$", re.sub(r"\\\n\s*", "", page), re.MULTILINE)
    assert len(commands) == 10
    for command in commands:
        planned = CliRunner().invoke(app, [*shlex.split(command), "--dry-run"])
        assert planned.exit_code == 0 and re.match(r"[1-9]\d* cells: ", planned.output), planned.output


def test_contributing_names_every_room() -> None:
    named = re.findall(r"^ *\| `(\w+)/`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "bench").glob("*/__init__.py"))


def test_rebar_example_trains() -> None:
    bounds = [float(value) for value in re.findall(r"ELBO ([\d.]+)", run(str(ROOT / "examples" / "train_rebar.py")))]
    assert bounds[-1] < bounds[0]


def test_example_plugin_is_listed() -> None:
    plugin = str(ROOT / "examples" / "my_estimator.py")
    assert "antithetic" in run("-m", "dvae_bench.cli", "list", "--plugin", plugin)
