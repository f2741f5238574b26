"""A claim about two estimators, `A < B`: A ends a training with the lower -ELBO. Decided over paired seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ...estimators.names import Name, UsageError
from ...estimators.registry import ESTIMATORS, TASKS
from ..ranking.trained import at_steps
from ..report.numbers import plain, with_interval
from ..run.plan import sources_of
from ..run.presets import PRESETS
from ..run.screen import minutes
from ..run.session import Session
from ..run.support import refusal
from ..sources import STEPS
from .seeds import more_seeds

HOLDS, FAILS, UNCLEAR = "holds", "fails", "unclear"
IMAGES, FEWEST, MOST = 10_000, 2, 1000
"""Test images of the ELBO, and the fewest and the most seeds."""

Run = Callable[[Session], None]


@dataclass(frozen=True)
class Verdict:
    """word: holds, fails or unclear. lines: the answer and what it rests on. failed: whether a training raised."""

    word: str
    lines: list[str]
    failed: bool = False


@dataclass
class Trial:
    """The trainings of both estimators on a task, whose cells are stored and reused. All seeds are paired: both start
    from the same model and see the same minibatches.

    Raises UsageError for a claim that is not `A < B` of two estimators, and for a task that trains nothing.
    """

    names: tuple[Name, Name]
    task: Name
    steps: int
    session: Session

    @classmethod
    def prepare(cls, claim: str, task: str, steps: int, device: str, threads: int, folder: Path) -> Trial:
        names, on = parse(claim), TASKS.select([task])
        if len(on) != 1 or STEPS not in sources_of(on[0]):
            raise UsageError(f"a claim is about trainings on one task, such as mnist-vae, and {task!r} is none")
        for name in names:
            if reason := refusal(name, on[0]):
                raise UsageError(f"{name} does not apply to {on[0]}: {reason}")
        trained = PRESETS["quick"].changed(STEPS, steps=steps, seconds=1e6, evaluations=1, images=IMAGES)
        session = Session.prepare(names, on, trained, MOST, device, threads, folder, [STEPS])
        return cls(names, on[0], steps, session)

    def seeds(self, count: int) -> Session:
        """The session of the first `count` seeds."""
        return replace(self.session, cells=[cell for cell in self.session.cells if cell.seed < count])

    def run(self, budget: float, run: Run, clock: Callable[[], float]) -> Verdict:
        """Measure seed 0, then as many seeds as a budget in seconds allows, and judge once.

        The number of seeds depends on the time alone, and is kept: the same command gives the same verdict. Raises
        UsageError if the budget is too small for two seeds; seed 0 is then stored.
        """
        known = dict(self.session.store.context().get("claims", {}))
        asked = f"{self.names[0]} < {self.names[1]} on {self.task}, {self.steps} steps"
        kept = known.setdefault(asked, {"pair": 0.0, "seeds": {}})
        self.session.context["claims"] = known
        if f"{budget:g}" not in kept["seeds"]:
            start = clock()
            run(self.seeds(1))
            kept["pair"] = max(kept["pair"], clock() - start, self._first_seed())
            fitting = math.floor(budget / kept["pair"])
            if fitting < FEWEST:
                raise UsageError(
                    f"a pair of trainings takes {minutes(kept['pair'])} here and a claim needs {FEWEST} pairs: give a "
                    f"--budget of {math.ceil(FEWEST * kept['pair'] * 11 / 10)}s or more, or fewer --steps"
                )
            kept["seeds"][f"{budget:g}"] = min(MOST, fitting)
        seeds = kept["seeds"][f"{budget:g}"]
        run(self.seeds(seeds))
        return judge(self.seeds(seeds).rows(), self.names, self.task, self.steps, budget)

    def _first_seed(self) -> float:
        """The seconds of the trainings of seed 0, also where they were finished before. Raises UsageError where an
        estimator does not apply, and where the task reports no ELBO.
        """
        rows = self.seeds(1).rows()
        for each in rows[rows["status"] == "unsupported"].itertuples(index=False):
            raise UsageError(f"{each.estimator} does not apply to {self.task}: {each.reason}")
        if not rows["metric"].eq("elbo_test").any() and rows["status"].eq("ok").all():
            raise UsageError(f"{self.task} reports no ELBO to compare; give a task that does, such as mnist-vae")
        return float(rows.loc[(rows["metric"] == "seconds") & (rows["source"] == STEPS.name), "value"].sum())


def judge(rows: pd.DataFrame, names: tuple[Name, Name], task: Name, steps: int, seconds: float) -> Verdict:
    """By the 95 % interval of the difference of -ELBO over paired seeds. seconds: what these seeds took."""
    one, other = map(str, names)
    about = f"{one} < {other} on {task}"
    ended = rows.loc[rows["metric"] == "", ["estimator", "status", "reason"]]
    trained = at_steps(rows, steps)
    lost = {x.estimator: x.reason for x in trained.finishes if not x.group}
    if lost:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        lines = [f"unclear: {about}", f"not all trainings ended: {reasons}"]
        return Verdict(UNCLEAR, lines, bool(ended["status"].eq("error").any()))
    lead, seeds = trained.lead(other, one), trained.scores.shape[1]
    word = HOLDS if lead.hi < 0 else FAILS if lead.lo > 0 else UNCLEAR
    ends = {x.estimator: -x.elbo.value for x in trained.finishes}
    means = [f"{name} {plain(ends[name])}" for name in (one, other)]
    difference = with_interval(lead.value, lead.lo, lead.hi)
    lines = [
        f"{word}: {about}",
        f"{one} - {other} = {difference} nats, 95 % interval over {seeds} paired seeds",
        f"test -ELBO after {steps} steps: {', '.join(means)}",
    ]
    if word == UNCLEAR:
        lines.append(_settling(more_seeds(trained, one, other), seeds, seconds))
    return Verdict(word, lines)


def _settling(more: float, seeds: int, seconds: float) -> str:
    if not math.isfinite(more):
        return "the difference is too small for any number of seeds to settle it"
    budget = math.ceil(1.1 * seconds * (seeds + more) / seeds)
    return f"about {more:.0f} more paired seed{'s' * (more != 1)} would settle it: --budget {budget}s"


def parse(claim: str) -> tuple[Name, Name]:
    """The two estimators of `A < B`. Raises UsageError for anything else."""
    parts = [part.strip() for part in claim.split("<")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(f'{claim!r} is no claim: write "A < B", which says that A ends with the lower -ELBO')
    one, other = (ESTIMATORS.canonical(Name.parse(part)) for part in parts)
    if one == other:
        raise UsageError(f"{claim!r} names the same estimator twice: name two")
    return one, other
