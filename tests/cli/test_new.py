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
    assert ended.code == 2 and "is not a valid name of an estimator" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("estimator", "rloo"), "an estimator 'rloo' exists already"),
        (("estimator", "leave-one-out"), "an estimator 'leave-one-out' exists already"),
        (("task", "mine"), "cannot write a new 'task'"),
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


OLD_FORM = '''"""A plugin as `new` wrote it before claim() and sample() had defaults and all of it was public."""

from dvae_bench import Claim, Estimate, Estimator
from dvae_bench.bench.rows import row
from dvae_bench.estimators.contract import expand_right


class OldForm(Estimator):
    """g = ½ (f(z₁) - f(z₂)) (∇ log q(z₁) - ∇ log q(z₂)), with z₁ and z₂ drawn from q."""

    formula = r"g = \\tfrac12 (f(z_1) - f(z_2))(\\nabla \\log q(z_1) - \\nabla \\log q(z_2))"
    name = "old-form"
    latents = ("bernoulli", "categorical")
    hyperparameters = {"scale": {"default": 0.5, "above": 0.0}}
    cost = "2 evaluations"
    reference = "where it was published"

    def claim(self):
        return Claim()

    def sample(self, latent, generator):
        return latent.sample(2, generator)

    def gradient(self, f, latent, draw):
        f_z, score = f(draw), latent.score(draw)
        weight = (f_z[0] - f_z[1]).detach() * self.scale
        return Estimate(f_z.mean(0), expand_right(weight, score[0]) * (score[0] - score[1]))


assert row("metric", 1.0, 1)["value"] == 1
'''


def test_a_plugin_of_the_old_form_conforms(command: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "old_form.py"
    plugin.write_text(OLD_FORM, encoding="utf-8")
    checked = command("check", "--plugin", plugin)
    assert checked.code == 0 and checked.out.startswith("old-form  facts        ok"), checked.out
