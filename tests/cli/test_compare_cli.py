"""`dvae-bench compare` and `history`, on small runs of one estimator before and after its code was changed."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import Command
from dvae_bench import __version__
from dvae_bench.bench.run import session
from dvae_bench.bench.run.plan import plan
from dvae_bench.bench.run.presets import PRESETS, Preset
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.store.code_hash import ROOT
from dvae_bench.bench.store.store import Store
from plugin_files import REINFORCE
from tiny import TINY

pytestmark = pytest.mark.usefixtures("no_figures", "no_page", "small_presets")
TWO_DRAWS = """
from dvae_bench import Estimate, Estimator, expand_right


class Pair(Estimator):
    name = "pair"
    latents = ("bernoulli",)
    n = 2
    cost = "2 evaluations"
    reference = "the tests"

    def gradient(self, f, latent, draw):
        f_z, score = f(draw), latent.score(draw)
        weight = expand_right((f_z[0] - f_z[1]).detach() / 2, score[0])
        return Estimate(f_z.mean(0), FORMULA)
"""
Runs = Callable[..., tuple[Path, Path, Path]]


@pytest.fixture
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws enough to see three per cent on one bit, and no timings."""
    draws = DrawSettings(rows=2000, tuning_steps=2)
    monkeypatch.setitem(PRESETS, "quick", Preset("quick", {**TINY.settings, DRAWS: draws}))
    monkeypatch.setattr(session, "plan", lambda *grid: [cell for cell in plan(*grid) if cell.source is DRAWS])


@pytest.fixture
def runs(command: Command, plugin_file: Callable[..., Path], tmp_path: Path) -> Runs:
    """A plugin measured before its file was changed, in `base`, and after, in `new`; and the file."""

    def measure(**change: str) -> tuple[Path, Path, Path]:
        base, new = tmp_path / "base", tmp_path / "new"
        for folder, changed in ((base, {}), (new, change)):
            path = plugin_file("mine", **changed)
            ended = command("run", "--plugin", path, "-e", "mine", "-t", "bit:t=0.0", "-o", folder)
            assert ended.code in (0, 3)
        return base, new, path

    return measure


def test_equal_code_is_the_same(command: Command, runs: Runs) -> None:
    base, new, _ = runs()
    ended = command("compare", base, new, "--fail-on", "unclear")
    assert ended.code == 0, ended.out
    assert " compared: 0 missing, 0 worse, 0 unclear, 0 better, " in ended.out and "margins: variance 5 %" in ended.out


def test_a_scale_error_of_three_per_cent_is_worse(
    command: Command, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, new, path = runs(answer=REINFORCE.replace("(expand_right", "1.03 * (expand_right"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = ("--md", tmp_path / "v.md", "--junit", tmp_path / "v.xml")
    ended = command("compare", base, new, "--fail-on", "worse", *files)
    assert ended.code == 1 and "one look only: " in ended.out
    again = command("compare", base, new, "--fail-on", "worse", "--plugin", path)
    assert again.code == 1 and "second look: mine on bit:t=0.0, draws" in again.out
    worse = [line.split()[3:5] for line in again.out.splitlines() if line.startswith("worse")]
    assert ["bias", "cut"] in worse and ["var_total", "cut"] in worse
    assert command("compare", base, new, "--fail-on", "error").code == 0
    assert "| worse" in (tmp_path / "v.md").read_text() in (tmp_path / "summary.md").read_text()
    assert int(ET.parse(tmp_path / "v.xml").getroot().attrib["failures"]) >= 1
    assert len(list((new / "cells").iterdir())) == 1, "the second look is kept apart from the run"


def test_one_more_evaluation_is_worse(command: Command, runs: Runs) -> None:
    base, new, _ = runs(code="f(draw)")
    ended = command("compare", base, new, "--fail-on", "worse")
    assert ended.code == 1
    assert any(line.split()[:4] == ["worse", "bit:t=0.0", "mine", "evaluations"] for line in ended.out.splitlines())
    assert command("compare", new, base, "--fail-on", "worse").code == 0


def test_a_cell_that_fails_now_is_worse(command: Command, runs: Runs) -> None:
    base, new, _ = runs(code="raise RuntimeError('no baseline yet')")
    ended = command("compare", base, new, "--fail-on", "error")
    assert ended.code == 3 and "failed in NEW: mine on bit:t=0.0, draws" in ended.out and "no baseline yet" in ended.out
    assert command("compare", base, new).code == 1


def test_a_gate_passes_a_refactoring_and_fails_a_small_bias_and_missing_evidence(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """w s₀ - w s₁ for w (s₀ - s₁) rounds differently and takes an operation more."""
    draws = DrawSettings(rows=8000, tuning_steps=2)
    monkeypatch.setitem(PRESETS, "quick", Preset("quick", {**TINY.settings, DRAWS: draws}))
    versions = {
        "base": "weight * (score[0] - score[1])",
        "refactored": "weight * score[0] - weight * score[1]",
        "biased": "1.02 * weight * (score[0] - score[1])",
    }
    plugins = {name: tmp_path / f"{name}.py" for name in versions}
    for name, formula in versions.items():
        plugins[name].write_text(TWO_DRAWS.replace("FORMULA", formula))
        chosen = ("-e", "pair", "-t", "bit:t=0.0", "-o", tmp_path / name)
        assert command("run", "--plugin", plugins[name], *chosen).code == 0
    base, refactored, biased = (tmp_path / name for name in versions)

    ended = command("compare", base, refactored)
    assert ended.code == 0 and ended.out.startswith("passed: none of "), ended.out
    changed = [line.split() for line in ended.out.splitlines() if " bit:t=0.0 " in line]
    assert ["advice", "operations"] in [[words[0], words[3]] for words in changed]

    ended = command("compare", base, biased, "--plugin", plugins["biased"])
    assert ended.code == 1 and "failed: worse: pair on bit:t=0.0 (bias" in ended.out, ended.out

    assert command("run", "-e", "rloo", "-t", "bit:t=0.0", "-o", base).code == 0
    ended = command("compare", base, refactored)
    assert ended.code == 1 and ended.out.startswith("failed: missing: estimator rloo\n")

    shutil.rmtree(refactored / "cells")
    (refactored / "cells").mkdir()
    ended = command("compare", base, refactored)
    assert ended.code == 1 and ended.out.startswith("failed: missing: all that BASE holds\n")


def test_bad_input_is_refused(command: Command, tmp_path: Path) -> None:
    for arguments, words in (
        (["compare", tmp_path, tmp_path], "holds no results"),
        (["compare", tmp_path, tmp_path, "--fail-on", "odd"], "choose one of worse, unclear, error"),
        (["compare", tmp_path, tmp_path, "--gate", "bias,odd"], "--gate knows no metric 'odd'; choose from variance,"),
        (["compare", tmp_path, tmp_path, "--margin", "odd=5%"], "--margin knows no metric 'odd'; choose from"),
        (["compare", tmp_path, tmp_path, "--margin", "bytes"], "gives no size; write bytes=5% or bytes=0.05"),
        (["compare", tmp_path, tmp_path, "--margin", "bytes=-1"], "gives no size; write bytes=5% or bytes=0.05"),
        (["history", "var_total", tmp_path], "holds no results"),
    ):
        ended = command(*arguments)
        assert ended.code == 2 and words in ended.err


def test_history_shows_a_metric_run_by_run(command: Command, runs: Runs) -> None:
    base, new, _ = runs(code="f(draw)")
    ended = command("history", "evaluations", base, new, "-t", "bit*")
    assert ended.code == 0 and ended.out.count("\n") == 3
    assert [cell.strip() for cell in ended.out.splitlines()[-1].split("|")[1:3]] == ["bit:t=0.0", "mine"]
    assert [cell.strip() for cell in ended.out.splitlines()[-1].split("|")[-3:-1]] == ["1", "2"]
    refused = command("history", "nothing", base)
    assert refused.code == 2 and "hold no 'nothing'" in refused.err


class TestRerun:
    @pytest.fixture
    def checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A git repository of this package at two commits: in the second, reinforce is 3 % too large and named 9.9."""
        folder = tmp_path / "code"
        folder.mkdir()
        for name in ("__init__.py", "cli.py", "py.typed", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        for name in ("bench", "commands", "estimators", "tasks"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.chdir(folder)
        git("init", "--quiet")
        commit("first")
        change("estimators/score_function/reinforce.py", "latent, draw, f_z)", "latent, draw, 1.03 * f_z)")
        change("pyproject.toml", f'version = "{__version__}"', 'version = "9.9"')
        commit("second")
        return folder

    @pytest.mark.full
    def test_two_commits_are_measured_by_their_own_wheels(
        self, command: Command, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """About 60 s. Each side ran its own wheel, not this checkout: its version and its fault are in the rows."""
        monkeypatch.setattr("dvae_bench.bench.compare.rerun.ROUNDS", 2)
        arguments = ["compare", "--rerun", "HEAD~1", "HEAD", "-e", "reinforce", "-t", "bit:t=0.0", "--fail-on", "worse"]
        ended = command(*arguments)
        assert ended.code == 1, ended.err
        assert [line for line in ended.out.splitlines() if line.startswith("worse") and "var_total cut" in line]
        base, new = (Store(checkout / "results" / "rerun" / side) for side in ("base", "new"))
        assert (base.context()["dvae_bench"], new.context()["dvae_bench"]) == (__version__, "9.9")
        assert base.context()["git"] is None, "no checkout was imported"
        rows = new.rows()
        assert set(rows.loc[rows["source"] == "clock", "seed"]) == {0, 1}
        assert set(rows.loc[rows["source"] == "draws", "seed"]) == {0}

    @pytest.mark.full
    def test_a_commit_that_cannot_be_built_is_refused(self, command: Command, checkout: Path) -> None:
        """About 5 s."""
        change("pyproject.toml", "[project]", "[project")
        commit("third")
        ended = command("compare", "--rerun", "HEAD", "HEAD")
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert ended.err.startswith("error: the wheel of 'HEAD' cannot be built (") and "fix that commit" in ended.err

    @pytest.mark.full
    def test_a_commit_that_cannot_run_is_refused(self, command: Command, checkout: Path) -> None:
        """About 12 s."""
        change("bench/run/session.py", "class Session:", "class Session(Nothing):")
        commit("third")
        ended = command("compare", "--rerun", "HEAD", "HEAD", "-e", "reinforce", "-t", "bit")
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert ended.err.startswith("error: `dvae-bench run` of 'HEAD' failed: NameError: ")

    @pytest.mark.parametrize("tool", ["pip", "setuptools"])
    def test_a_missing_build_tool_is_named(
        self, command: Command, checkout: Path, monkeypatch: pytest.MonkeyPatch, tool: str
    ) -> None:
        found = [each for each in importlib.metadata.distributions() if each.name != tool]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)
        ended = command("compare", "--rerun", "HEAD", "HEAD")
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert f"--rerun builds wheels with {tool}, which " in ended.err and "; run `python -m " in ended.err

    @pytest.mark.parametrize(("ref", "words"), [("HEAD", "git cannot export 'HEAD'"), ("--output=x", "cannot export")])
    def test_bad_input_is_refused(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, words: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = command("compare", "--rerun", "--", ref, ref)
        assert ended.code == 2 and words in ended.err and not list(tmp_path.iterdir())

    def test_another_repository_is_refused(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        git("init", "--quiet")
        (tmp_path / "a.txt").write_text("a")
        commit("first")
        ended = command("compare", "--rerun", "HEAD", "HEAD")
        assert ended.code == 2 and "not a commit of dvae-bench" in ended.err


def change(path: str, before: str, after: str) -> None:
    text = Path(path).read_text()
    assert before in text
    Path(path).write_text(text.replace(before, after, 1))


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments], check=True, capture_output=True)


def commit(message: str) -> None:
    git("add", "-A")
    git("commit", "--quiet", "-m", message)
