"""Benchmarks run outside `make test`; each is imported here, so that a moved name fails a test first."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).resolve().parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_benchmark_imports(file: Path) -> None:
    assert runpy.run_path(str(file))["__doc__"]
