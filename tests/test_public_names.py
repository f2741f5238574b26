"""The names that `from dvae_bench import ...` offers, at run time and to a type checker."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import dvae_bench
import pytest

ROOT = Path(__file__).resolve().parent.parent


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


def test_completion_lists_the_public_names() -> None:
    assert dir(dvae_bench) == sorted(dvae_bench.__all__)


SHOWN = [
    ROOT / "README.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "examples").rglob("*.py"),
    *(ROOT / "bench" / "scaffold" / "templates").iterdir(),
]
IMPORT = re.compile(r"^\s*from (dvae_bench\S*) import (.+)$", re.MULTILINE)
SHOWN_IMPORTS = [(path, *found) for path in SHOWN for found in IMPORT.findall(path.read_text("utf-8"))]


@pytest.mark.parametrize(("path", "module", "names"), SHOWN_IMPORTS, ids=[path.name for path, *_ in SHOWN_IMPORTS])
def test_what_we_show_imports_public_names_only(path: Path, module: str, names: str) -> None:
    """Tutorials, the README, examples and what `new` writes: nothing from below dvae_bench."""
    assert module == "dvae_bench"
    assert set(names.split(", ")) <= set(dvae_bench.__all__)
