"""A fuzzer that runs short in every test and long in the full suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

FUZZED = pytest.mark.parametrize("examples", [500, pytest.param(100_000, marks=pytest.mark.full)])


def fuzz(examples: int, strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check so many examples; no time limit, nothing remembered."""
    settings(max_examples=examples, deadline=None, database=None)(given(strategy)(check))()
