"""`dvae-bench claim "A < B"`: what it prints and exits with, how many seeds it trains, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Command
from dvae_bench import UsageError
from dvae_bench.bench.advice import claim
from dvae_bench.bench.advice.claim import FAILS, HOLDS, UNCLEAR, Trial, Verdict, judge, parse
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.estimators.names import Name
from scipy import stats

TASK, STEPS = "mnist-vae:arch=linear,batch=8", 100
NAMES = (Name("reinmax"), Name("disarm"))
IDENTITY = {"task": TASK, "data": "digits", "device": "cpu", "source": "steps", "group": "", "reason": ""}


def trainings(gain: float, seeds: int = 5, noise: float = 0.2) -> pd.DataFrame:
    """Rows of both estimators, the first of which ends `gain` nats better; all of a seed share noise of 3 nats."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        shared = 3 * rng.standard_normal()
        for name, lead in ((NAMES[0], gain), (NAMES[1], 0.0)):
            values = {"elbo_test": -150 + lead + shared + noise * rng.standard_normal(), "seconds": 1.0}
            for metric, value in values.items():
                measured = {"metric": metric, "step": STEPS, "value": value, "se": 0.5, "status": "ok"}
                rows.append(IDENTITY | {"estimator": str(name), "seed": seed} | measured)
    return pd.DataFrame(rows)


def decided(rows: pd.DataFrame, names: tuple[Name, Name] = NAMES) -> Verdict:
    return judge(rows, names, Name.parse(TASK), STEPS, 60.0)


def test_the_difference_is_that_of_the_paired_t_interval() -> None:
    """Seeds share 3 nats of noise, which an unpaired interval would have."""
    rows = trainings(1.0)
    elbo = rows[rows["metric"] == "elbo_test"].pivot(index="seed", columns="estimator", values="value")
    difference = elbo["disarm"] - elbo["reinmax"]
    lo, hi = stats.t.interval(0.95, 4, difference.mean(), stats.sem(difference))
    assert hi < 0
    found = decided(rows)
    assert found.word == HOLDS and not found.failed
    assert found.lines[1].startswith(f"reinmax - disarm = {difference.mean():.2f} [{lo:.2f}, {hi:.2f}] nats")


@pytest.mark.parametrize(("gain", "words"), [(1.0, (HOLDS, FAILS)), (-1.0, (FAILS, HOLDS)), (0.0, (UNCLEAR, UNCLEAR))])
def test_a_claim_and_its_reverse(gain: float, words: tuple[str, str]) -> None:
    assert (decided(trainings(gain)).word, decided(trainings(gain), NAMES[::-1]).word) == words


def test_the_seeds_that_would_settle_it_do() -> None:
    rows = trainings(0.1, noise=0.4)
    found = decided(rows)
    assert found.word == UNCLEAR
    more = int(found.lines[-1].split()[1])
    elbo = rows[rows["metric"] == "elbo_test"].pivot(index="seed", columns="estimator", values="value")
    difference = elbo["disarm"] - elbo["reinmax"]

    def half_width(seeds: int) -> float:
        return float(stats.t.isf(0.025, seeds - 1) * difference.std() / math.sqrt(seeds))

    assert half_width(5 + more) <= abs(difference.mean()) < half_width(5 + more - 1)


def test_a_training_that_diverged_decides_nothing() -> None:
    rows = trainings(1.0)
    end = {"metric": "", "step": 0, "value": math.nan, "se": math.nan, "status": "diverged", "reason": "NaN"}
    rows = pd.concat([rows, pd.DataFrame([IDENTITY | {"estimator": "disarm", "seed": 2} | end])])
    found = decided(rows)
    assert found.word == UNCLEAR and "disarm: 1 seed diverged" in found.lines[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reinmax", "is no claim"),
        ("reinmax < ", "is no claim"),
        ("a < b < c", "is no claim"),
        ("rloo < rloo:n=2", "twice"),
        ("rlooo < disarm", "unknown estimator"),
    ],
)
def test_what_is_no_claim_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text)


@pytest.fixture
def small(tiny_presets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "IMAGES", 20)


def trial(folder: Path, text: str = "rloo < disarm") -> Trial:
    return Trial.prepare(text, TASK, 2, "cpu", 1, folder)


def watched(counts: list[dict[str, int]]) -> Callable[[Session], None]:
    return lambda session: counts.append(session.run(Progress(), False))


@pytest.mark.usefixtures("small")
def test_seeds_fill_the_budget_and_finished_ones_are_reused(tmp_path: Path) -> None:
    """A pair takes 100 s by this clock; the same claim again trains nothing, though everything is quick now."""
    counts: list[dict[str, int]] = []
    clock = iter(range(0, 1000, 100))
    first = trial(tmp_path).run(350.0, watched(counts), lambda: next(clock))
    assert counts == [{"ok": 2}, {"reused": 2, "ok": 4}]
    counts.clear()
    again = trial(tmp_path).run(350.0, watched(counts), lambda: pytest.fail("the number of seeds is kept"))
    assert counts == [{"reused": 6}] and again == first


@pytest.mark.usefixtures("small")
def test_a_budget_too_small_for_two_seeds_names_the_one_it_takes(tmp_path: Path) -> None:
    clock = iter((0.0, 100.0))
    with pytest.raises(UsageError, match="--budget of 220s or more"):
        trial(tmp_path).run(150.0, watched([]), lambda: next(clock))


@pytest.mark.usefixtures("small")
def test_the_command_prints_the_verdict_and_exits_with_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "MOST", 2)
    ended = command("claim", "rloo < disarm", "-t", TASK, "--steps", 2, "--budget", "2h", "-o", tmp_path)
    *_, verdict, difference, _means = [line for line in ended.out.splitlines() if "settle" not in line]
    word = verdict.partition(":")[0]
    assert ended.code == (0 if word == HOLDS else 1) and word in (HOLDS, FAILS, UNCLEAR)
    assert difference.startswith("rloo - disarm = ") and "2 paired seeds" in difference


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        ("rloo < disarm", "bit-table", "trainings on one task"),
        ("rloo disarm", TASK, "is no claim"),
        ("rloo < carms", "mnist-vae:arch=linear,batch=8", "does not apply"),
    ],
)
def test_bad_input_is_one_sentence(command: Command, tmp_path: Path, text: str, task: str, words: str) -> None:
    assert command("claim", text, "-t", task, "--steps", 2, "-o", tmp_path).refused(words)
