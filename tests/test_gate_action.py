"""The composite action of docs/ci.md: its steps are run by bash, and the commands that they reach are real ones."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Command
from dvae_bench import __version__
from plugin_files import estimator

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".github" / "actions" / "gate"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")
# Writes its own name and words as one line of $CALLS, and exits with $CODE.
CALLED = '#!/bin/bash\n(printf "%s\\x1f" "$(basename "$0")" "$@"; echo) >> "$CALLS"\nexit "${CODE:-0}"\n'
Steps = Callable[..., tuple[int, list[list[str]]]]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Runs the scripts of the action in a repository, at these inputs; returns the exit code and the calls made."""
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir()
    for name in ("pip", "dvae-bench"):
        (programs / name).write_text(CALLED)
        (programs / name).chmod(0o755)
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)

    def run(code: int = 0, **given: str) -> tuple[int, list[list[str]]]:
        inputs = {name: about.get("default", "") for name, about in ACTION["inputs"].items()} | given
        calls.write_text("")
        for step in (step for step in STEPS if "run" in step):
            variables = {
                name: INPUT.sub(lambda found: inputs[found[1]], text) for name, text in step.get("env", {}).items()
            }
            ours = {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "CODE": "0"}
            if step["name"] == "Measure":
                ours["CODE"] = str(code)
            github = {"GITHUB_ACTION_PATH": str(FOLDER), "RUNNER_TEMP": str(tmp_path / "temp")}
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done = subprocess.run(shell, env=os.environ | ours | github | variables)
            if done.returncode:
                break
        return done.returncode, [line.split("\x1f")[:-1] for line in calls.read_text().splitlines()]

    return run


def test_the_action_is_whole() -> None:
    text = (FOLDER / "action.yml").read_text(encoding="utf-8")
    assert ACTION["runs"]["using"] == "composite" and all(about["description"] for about in ACTION["inputs"].values())
    assert set(INPUT.findall(text)) == set(ACTION["inputs"]), "each input is used, and each that is used exists"
    assert not any("${{" in step.get("run", "") for step in STEPS), "an input reaches a script as a variable only"
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in STEPS if "uses" in step)
    assert all(step["shell"] == "bash" for step in STEPS if "run" in step)


def test_it_installs_this_package_and_the_estimators(steps: Steps) -> None:
    code, called = steps(estimators="mine")
    assert code == 0
    assert [words[:3] for words in called[:3]] == [
        ["pip", "install", "torch"],
        ["pip", "install", f"{FOLDER}/../../.."],
        ["pip", "install", "."],
    ]
    assert Path(called[1][2]).resolve() == ROOT and (ROOT / "setup.py").is_file()
    _, called = steps(estimators="mine", plugin="mine.py", **{"torch-index": "https://wheels"})
    assert called[0] == ["pip", "install", "torch", "--index-url", "https://wheels"] and len(called) == 4


@pytest.mark.usefixtures("no_figures", "no_page", "tiny_presets")
def test_its_commands_pass_unchanged_code_and_fail_a_missing_estimator(steps: Steps, command: Command) -> None:
    Path("mine of us.py").write_text(estimator("mine"))
    given = {"plugin": "mine of us.py", "tasks": "bit:d=2", "options": "--gate bias,evaluations --margin bias=6%"}
    for names, ending, passed in (("mine rloo:n={2,3}", 0, True), ("mine", 1, False)):
        code, called = steps(estimators=names, **given)
        assert code == 0
        (_, *measure), (_, *compare) = [words for words in called if words[0] == "dvae-bench"]
        assert command(*measure).code == 0
        if passed:
            assert command(*measure[:-1], "baseline").code == 0
        ended = command(*compare)
        assert ended.code == ending, ended.out
        assert ended.out.startswith("passed: " if passed else "failed: missing: estimator rloo"), ended.out
        assert Path(compare[compare.index("--junit") + 1]).is_file()
        for part in Path(measure[-1]).glob("cells/*"):
            part.unlink()


@pytest.mark.parametrize(("code", "goes_on"), [(3, True), (2, False)], ids=["some cells failed", "bad input"])
def test_only_failed_cells_are_left_to_the_comparison(steps: Steps, code: int, goes_on: bool) -> None:
    ended, called = steps(code, estimators="mine")
    assert (ended == 0) is goes_on and (called[-1][1] == "compare") is goes_on


def documented() -> list[dict[str, Any]]:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), re.M | re.S)
    return [step for block in blocks for step in yaml.safe_load(block)["jobs"]["gate"]["steps"]]


def test_the_page_uses_it_as_it_is() -> None:
    (step,) = [step for step in documented() if "dvae-bench" in step.get("uses", "")]
    assert step["uses"] == f"OWNER/dvae-bench/{FOLDER.relative_to(ROOT)}@v{__version__}"
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert {name for name, about in ACTION["inputs"].items() if about.get("required")} <= set(step["with"])
