"""A package imports only packages on the floors below its own, and no imports run in a circle.

FLOORS lists the packages from the lowest floor up; a new folder of bench/ must be given its floor here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import dvae_bench
import pytest

ROOT = Path(dvae_bench.__file__).resolve().parent
FLOORS = (
    ("estimators",),
    ("tasks",),
    ("bench/rows", "bench/escapes", "bench/latents", "bench/log_z"),
    ("bench/statistics", "bench/store"),
    ("bench/sources",),
    ("bench/ranking",),
    ("bench/collectors", "bench/report"),
    ("bench/page", "bench/results", "bench/train"),
    ("bench/run",),
    ("bench/advice", "bench/check", "bench/compare", "bench/protocols"),
    ("bench/calibration", "bench/reports", "bench/scaffold"),
    ("commands",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(
    path
    for top in ("estimators", "tasks", "bench", "commands", "cli.py")
    for path in ([ROOT / top] if top.endswith(".py") else (ROOT / top).rglob("*.py"))
)


def name(path: Path) -> str:
    """`bench/store/files` of that file, `bench/store` of the folder's own `__init__.py`."""
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")


def room(module: str) -> str:
    """The first folder of bench/, or the file there; elsewhere the folder below the root."""
    parts = module.split("/")
    return "/".join(parts[:2]) if parts[0] == "bench" and len(parts) > 1 else parts[0]


def imports(tree: ast.AST, path: Path, known: set[str]) -> Iterator[str]:
    """Every module of ours that a file names in an import, also inside functions and for types alone."""
    package = [*name(path).split("/"), *(["__init__"] if path.stem == "__init__" else [])][:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name.split(".")[1:] for alias in node.names if alias.name.startswith("dvae_bench.")]
        elif isinstance(node, ast.ImportFrom):
            given = (node.module or "").split(".") if node.module else []
            if node.level:
                base = [*package[: len(package) - node.level + 1], *given]
            elif given[0] == "dvae_bench":
                base = given[1:]
            else:
                continue
            dotted = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for parts in dotted:
            module = "/".join(parts)
            yield from (found for found in (module, module.rpartition("/")[0]) if found in known)
            if module not in known and module.rpartition("/")[0] not in known and parts:
                yield from (found for found in (parts[0],) if found in known)


def graph(files: dict[str, str]) -> dict[str, set[str]]:
    """module -> the modules it imports; a file that names a module of a package does not thereby need the package."""
    known = set(files)
    found = {}
    for module, source in files.items():
        path = ROOT / f"{module}.py" if not (ROOT / module).is_dir() else ROOT / module / "__init__.py"
        targets = set(imports(ast.parse(source), path, known)) - {module}
        deeper = {target for target in targets if any(other.startswith(f"{target}/") for other in targets)}
        found[module] = targets - deeper
    return found


@pytest.fixture(scope="module")
def house() -> dict[str, set[str]]:
    return graph({name(path): path.read_text("utf-8") for path in FILES})


def circle(house: dict[str, set[str]]) -> list[str]:
    """The modules of a circle, or nothing."""
    try:
        TopologicalSorter(house).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def upward(house: dict[str, set[str]]) -> list[str]:
    """Imports from a room that does not stand below."""
    return [
        f"{module} imports {target}"
        for module, targets in house.items()
        for target in targets
        if room(module) != room(target) and room(target) in FLOOR and FLOOR[room(module)] <= FLOOR[room(target)]
    ]


def test_every_room_has_a_floor(house: dict[str, set[str]]) -> None:
    assert {room(module) for module in house} - {"bench"} == set(FLOOR)


def test_no_import_runs_up(house: dict[str, set[str]]) -> None:
    assert not upward(house)


def test_no_files_import_each_other_in_a_circle(house: dict[str, set[str]]) -> None:
    assert not circle(house)


@pytest.mark.parametrize(
    ("module", "target", "found"),
    [
        ("estimators/names", "tasks/contract", "estimators/names imports tasks/contract"),
        ("bench/store/store", "bench/run/cell", "bench/store/store imports bench/run/cell"),
        ("bench/statistics/moments", "bench/store/files", "bench/statistics/moments imports bench/store/files"),
    ],
)
def test_an_import_that_runs_up_is_seen(house: dict[str, set[str]], module: str, target: str, found: str) -> None:
    assert found in upward({**house, module: house[module] | {target}})


def test_a_circle_is_seen(house: dict[str, set[str]]) -> None:
    lower = "bench/sources/training/graphed"
    assert "bench/sources/training/step" in house["bench/sources/training/trajectory"]
    assert lower in circle({**house, lower: house[lower] | {"bench/sources/training/trajectory"}})


def test_imports_are_read_in_every_form(house: dict[str, set[str]]) -> None:
    source = "def f():\n    from ..store import files\n    import dvae_bench.bench.rows\n    from . import guard as g\n"
    read = graph({**{module: "" for module in house}, "bench/run/cell": source})["bench/run/cell"]
    assert read == {"bench/store/files", "bench/rows", "bench/run/guard"}
