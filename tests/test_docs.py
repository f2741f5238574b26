"""The documents are true: generated pages are fresh, the README's code runs, examples work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT.anchor)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_generated_pages_are_fresh() -> None:
    run(str(ROOT / "scripts" / "make_docs.py"), "--check")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[1][:30])
def test_readme_code_runs(block: str) -> None:
    run("-c", "import torch\n" + block)


def test_readme_names_no_missing_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_rebar_example_trains() -> None:
    bounds = [float(value) for value in re.findall(r"ELBO ([\d.]+)", run(str(ROOT / "examples" / "train_rebar.py")))]
    assert bounds[-1] < bounds[0]


def test_example_plugin_is_listed() -> None:
    plugin = str(ROOT / "examples" / "my_estimator.py")
    assert "antithetic" in run("-m", "dvae_bench.cli", "list", "--plugin", plugin)
