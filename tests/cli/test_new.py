"""`dvae-bench new estimator` writes a package that works at once, from its file and installed; one is in examples/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Command
from dvae_bench.bench.scaffold import new_estimator

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two-draws"


def test_the_new_estimator_conforms_as_it_is(command: Command, tmp_path: Path) -> None:
    ended = command("new", "estimator", "my-2nd-method", "-o", tmp_path / "mine")
    *files, said = ended.out.splitlines()
    assert ended.code == 0 and {Path(file).parent for file in files} == {tmp_path / "mine"}
    plugin = tmp_path / "mine" / "dvae_bench_my_2nd_method.py"
    assert said.endswith(f"dvae-bench check --plugin {plugin}")
    checked = command("check", "--plugin", plugin)
    assert checked.code == 0 and checked.out.startswith("my-2nd-method  facts        ok")


def test_the_example_is_what_new_writes(tmp_path: Path) -> None:
    for path in new_estimator("two-draws", tmp_path / "fresh"):
        assert (EXAMPLE / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_example_installs_and_passes_its_own_test(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(EXAMPLE, source)
    offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")

    def run(*arguments: str | Path) -> str:
        environment = os.environ | {"PYTHONPATH": str(target)}
        command = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "two-draws" not in run("dvae_bench.cli", "list")
    run("pip", "install", *offline, "--target", target, source)
    assert "two-draws" in run("dvae_bench.cli", "list").split()
    assert "1 passed" in run("pytest", "-q", "-p", "no:cacheprovider", source / "test_dvae_bench_two_draws.py")


@pytest.mark.parametrize(
    "name", ["", "../evil", "a/b", "Mine", "my_method", "my--method", "-mine", "1st", "mine.py", "ä", "x" * 61, 'a"b']
)
def test_a_malformed_name_is_refused(command: Command, tmp_path: Path, name: str) -> None:
    ended = command("new", "estimator", "-o", tmp_path / "mine", "--", name)
    assert ended.code == 2 and "is no name for an estimator" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("estimator", "rloo"), "there is an estimator 'rloo' already"),
        (("estimator", "leave-one-out"), "there is an estimator 'leave-one-out' already"),
        (("task", "mine"), "there is no new 'task'"),
    ],
)
def test_a_taken_name_and_an_unknown_kind_are_refused(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = command("new", *arguments, "-o", tmp_path / "mine")
    assert ended.code == 2 and words in ended.err and list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(command: Command, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    ended = command("new", "estimator", "mine", "-o", tmp_path)
    assert ended.code == 2 and "is not an empty folder" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert command("new", "estimator", "mine", "-o", tmp_path / "README.md").code == 2
