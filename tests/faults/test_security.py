"""What docs/security.md promises: nothing that is read runs code, no name leaves its folder, no secrets, only https."""

from __future__ import annotations

import ast
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dvae_bench
import pytest
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.store.cell_file import unpack
from dvae_bench.bench.store.store import Store
from dvae_bench.commands.plugins import add_plugins
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import ESTIMATORS
from tiny import one_cell

ROOT = Path(dvae_bench.__file__).parent
FOLDERS = ("bench", "commands", "estimators", "tasks")
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {
    ("torch", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("pd", "read_pickle"),
    ("yaml", "load"),
    ("os", "system"),
    ("os", "popen"),
}
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml"}
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|-----BEGIN [A-Z ]*PRIVATE KEY|xox[abp]-[0-9A-Za-z-]{10}|"
    r"(?i:password|passwd|api_?key|secret_?key|auth_?token)\s*[:=]\s*['\"][^'\"]{8,}"
)


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in (ROOT / "cli.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))):
        yield path, ast.parse(path.read_text("utf-8"))


def dangers(tree: ast.AST) -> set[str]:
    """What in a source could run what it reads."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} & MODULES
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                found |= {called.id} & RUNS_CODE
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                found |= {called.attr} if (called.value.id, called.attr) in UNPICKLES else set()
            found |= {word.arg for word in node.keywords if word.arg == "shell"}
    return found


def test_no_module_unpickles_or_runs_what_it_reads() -> None:
    assert {path.name: found for path, tree in sources() if (found := dangers(tree))} == {}


@pytest.mark.parametrize(
    "code", ["import pickle", "from joblib import load", "torch.load(x)", "eval(x)", "run(x, shell=True)"]
)
def test_code_that_could_run_what_it_reads_would_be_seen(code: str) -> None:
    assert dangers(ast.parse(code))


def test_a_run_is_read_back_without_unpickling(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [one_cell()]
    run_cells(cells, store, Progress())

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, refuse)
    assert len(store.rows()) > 10 and unpack(store.part(cells[0].part()).read_bytes()).status == "ok"
    assert run_cells(cells, store, Progress()) == {"reused": 1}


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/b", "a\\\\b", "", ".x", "-x", "a:b", "a,b", "a b", "<i>x</i>"]
)
def test_a_plugin_with_a_malformed_name_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f'class A:\n    name = "{name}"\n    latents = ("bernoulli",)\n')
    with pytest.raises(UsageError, match=r"is not a valid name|holds no plugin"):
        add_plugins(path)
    assert not ESTIMATORS.extra


def test_every_name_of_ours_is_well_formed(tmp_path: Path) -> None:
    names = [f"{name}-of-mine" for plugin in ESTIMATORS for name in plugin.names]
    path = tmp_path / "all.py"
    path.write_text("".join(f'class A{k}:\n    name = "{name}"\n    latents = ()\n' for k, name in enumerate(names)))
    assert len(add_plugins(path)) == len(names)


def test_a_plugin_file_is_named_and_not_run_before_it_is_used(
    tmp_path: Path, plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = plugin("mine")
    path.write_text(path.read_text() + f'\nopen({str(tmp_path / "ran")!r}, "w").close()\n')
    add_plugins(path)
    assert capsys.readouterr().err == f"plugins of {path}: mine\n" and not (tmp_path / "ran").exists()
    assert not [name for name in sys.modules if name.startswith("dvae_bench_plugin_") and name.endswith("_mine")]


def test_no_file_outside_the_folder_is_written() -> None:
    """Whatever stands in a cell's identity: a part is named by a hash, or by its letters and digits alone."""
    cell = one_cell()
    odd = replace(cell, estimator=Name("../../../x"), task=Name("/etc/passwd"))
    with pytest.raises(UsageError):
        odd.part()
    assert re.fullmatch(r"[0-9a-f]{64}", cell.part())


def test_no_secret_is_in_the_sources() -> None:
    assert SECRET.search("api_key = 'abcdefghijkl'") and SECRET.search("AKIA" + "A" * 16)
    for path, _ in sources():
        assert not SECRET.search(path.read_text("utf-8")), path
