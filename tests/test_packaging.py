"""The wheel holds every file of the package: a new family or template is in it without being listed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from dvae_bench import __version__
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def pins() -> dict[str, str]:
    """The version of each package in constraints.txt that this platform uses."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    required = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(each.specifier)) and each.url is None for each in required)
    used = [each for each in required if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in used}


def brought_by(requirements: list[str]) -> dict[str, Distribution]:
    """All that installing these requirements brings, as far as it is installed here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    open_ = [(Requirement(each), "") for each in requirements]
    while open_:
        requirement, extra = open_.pop()
        name = canonicalize_name(requirement.name)
        if name == "dvae-bench" or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for each in {"", *requirement.extras} - {extra for package, extra in seen if package == name}:
            seen.add((name, each))
            open_ += [(Requirement(text), each) for text in found[name].requires or ()]
    return found


def test_every_installed_package_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"]
    found = brought_by([*project["dependencies"], *groups["dev"], *groups["docs"]])
    pinned, installed = pins(), {name: each.version.split("+")[0] for name, each in found.items()}
    if any(installed[name] != pinned.get(name, installed[name]) for name in ("torch", "numpy", "pandas", "pytest")):
        pytest.skip("this environment was not installed with constraints.txt")
    assert len(installed) > len(project["dependencies"])
    assert not {name: version for name, version in installed.items() if pinned.get(name) != version}


def test_the_workflows_run_each_python_that_is_declared_and_pin_each_action() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [text.split(" :: ")[-1] for text in project["classifiers"] if " :: Python :: 3." in text]
    assert project["requires-python"] == f">={declared[0]}"
    workflows = [path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")]
    matrices = [json.loads(found) for text in workflows for found in re.findall(r"python: (\[.*\])", text)]
    assert matrices == [declared] * 2
    uses = [line for text in workflows for line in text.splitlines() if "uses:" in line]
    assert uses and not [line for line in uses if not re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v[\d.]+$", line)]


def test_every_file_names_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert project["version"] == __version__ and f"version: {__version__}" in cited
    assert re.search(
        rf"^## {re.escape(__version__)} \(", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
