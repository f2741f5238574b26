"""The names that `from dvae_bench import ...` offers, at run time and to a type checker."""

from __future__ import annotations

import ast
from pathlib import Path

import dvae_bench
import pytest


def declared() -> dict[str, str]:
    """The names imported under TYPE_CHECKING, and their modules."""
    tree = ast.parse(Path(dvae_bench.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {str(name.asname): f"dvae_bench.{each.module}" for each in imports for name in each.names}


def test_a_type_checker_sees_what_is_loaded_on_first_use() -> None:
    assert declared() == dvae_bench._HOME


@pytest.mark.parametrize("name", dvae_bench.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(dvae_bench, name) is not None
