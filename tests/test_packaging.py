"""The wheel holds every file of the package: a new family or template is in it without being listed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from dvae_bench import __version__

ROOT = Path(__file__).resolve().parent.parent
NO_PACKAGE = {"__pycache__", "benchmarks", "build", "dist", "docs", "examples", "results", "scripts", "tests"}


def in_wheel(root: Path, build: Path) -> set[str]:
    """What setuptools puts there, relative to the root, called as pip does: from another script."""
    command = [sys.executable, "-c", "exec(open('setup.py').read())", "--quiet", "build_py", "--build-lib", str(build)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    package = build / "dvae_bench"
    return {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}


def in_folders(root: Path) -> set[str]:
    """The files of every folder that is not known to be outside the package, and the modules beside them."""
    files = [path for path in root.glob("*.py") if path.name != "setup.py"] + [root / "py.typed"]
    for folder in root.iterdir():
        if folder.is_dir() and folder.name.isidentifier() and folder.name not in NO_PACKAGE:
            files += [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {path.relative_to(root).as_posix() for path in files}


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    assert in_wheel(ROOT, tmp_path) == in_folders(ROOT)


def test_a_new_family_is_packed_and_what_is_left_out_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    packed = ["__init__.py", "py.typed", "estimators/__init__.py", "estimators/new/__init__.py", "estimators/new/a.py"]
    missing = ["estimators/new/table.csv", "estimators/no_init/a.py", "models/a.py"]
    for name in packed + missing:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    found = in_wheel(root, tmp_path / "build")
    assert found == set(packed) and in_folders(root) - found == set(missing)


def test_every_file_names_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert project["version"] == __version__ and f"version: {__version__}" in cited
    assert re.search(
        rf"^## {re.escape(__version__)} \(", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
