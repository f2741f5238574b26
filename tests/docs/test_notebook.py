"""The notebook of examples/ is executed, and its outputs are those of today's code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from notebook import NOTEBOOK, executed, texts


def stale(path: Path) -> list[int]:
    """The numbers of the code cells whose stored outputs are not those that they have now."""
    return [i for i, (cell, outputs) in enumerate(executed(path)) if texts(cell["outputs"]) != texts(outputs)]


def test_its_outputs_are_those_of_its_cells() -> None:
    assert stale(NOTEBOOK) == [], "run python scripts/notebook.py"


def test_rows_and_a_plot_take_five_lines() -> None:
    first = next(cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code")
    assert sum(line != "\n" for line in first["source"]) == 5
    table, plot = texts(first["outputs"])
    assert table[0].split() == ["value"] and len(table) == 2 + 11 and plot == ["an image"]


@pytest.mark.parametrize(("source", "wrong"), [("1 + 1", "3"), ("print(2)", "3\n"), ("3", "2")])
def test_a_stale_output_is_seen(tmp_path: Path, source: str, wrong: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(_notebook(source, []), encoding="utf-8")
    ((_, outputs),) = executed(path)
    path.write_text(_notebook(source, outputs), encoding="utf-8")
    assert stale(path) == []
    changed = json.dumps(outputs).replace(json.dumps(texts(outputs)[0]), json.dumps([wrong]))
    path.write_text(_notebook(source, json.loads(changed)), encoding="utf-8")
    assert stale(path) == [0]


def _notebook(source: str, outputs: list) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": [source], "outputs": outputs}]})
