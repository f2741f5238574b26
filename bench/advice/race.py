"""The race by gradient error: all candidates draw from the same random numbers, and those clearly worse drop out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...estimators.contract import Unsupported
from ...estimators.names import UsageError
from ..ranking.budget import Budget
from ..ranking.candidate import Candidate
from ..ranking.ranking import LEVEL, NO_BETTER, Line, Ranking, rank
from ..sources.build import Layers
from ..sources.settings import DrawSettings
from .candidates import Entrant
from .drawn import Drawn
from .given import Given
from .reference import Reference

FIRST, FACTOR, ROUNDS = 1, 4, 8
"""Draws per block in the first round, how many times as many in each further one, and the most rounds."""
TUNING_STEPS, TUNING_ROWS = 100, 16
NEAR = 1.02
"""Errors that differ by less than this factor are not worth more draws."""

Show = Callable[[float, str], None]


@dataclass(frozen=True)
class Race:
    """ranking: those in the race at the end, then those that dropped out, the last ones first.

    draws: per candidate in the last round. reference: the estimator that stands for the exact gradient, "" if that is
    known. failed: what each candidate raised that could not be measured.
    """

    ranking: Ranking
    draws: int
    reference: str
    failed: dict[str, Exception]


def race(task: Given, entrants: Sequence[Entrant], budget: Budget, seconds: float, seed: int, show: Show) -> Race:
    """Race until one is left, until all that are left differ by less than 2 %, or until the next round takes too long.

    Every round draws afresh, FACTOR times as often as the one before, and is a test of its own: Bonferroni over rounds.
    A candidate that fails drops out. Raises UsageError if no gradient is known to compare with; if all fail, what the
    first one raised.
    """
    start = time.perf_counter()
    built: dict[str, Layers] = {}
    failed: dict[str, Exception] = {}
    dropped: list[Line] = []
    running = list(entrants)
    for number in range(ROUNDS):
        began = time.perf_counter()
        settings = DrawSettings(
            rows=FIRST * FACTOR**number,
            elements=float("inf"),
            tuning_steps=TUNING_STEPS,
            tuning_rows=TUNING_ROWS,
            look=number,
        )
        show(0.0, "the reference")
        reference = Reference.drawn(task, replace(settings, rows=FACTOR * settings.rows), seed)
        candidates: list[Candidate] = []
        for entrant in running:
            show(min(1.0, (time.perf_counter() - start) / seconds), f"round {number + 1}: {entrant.name}")
            try:
                if entrant.name not in built:
                    built[entrant.name] = entrant.make()
                candidate = Drawn.of(entrant.name, built[entrant.name], task, settings, seed, reference).candidate()
            except Unsupported:
                continue
            except Exception as error:
                error.add_note(f"racing {entrant.name}")
                failed[entrant.name] = error
                continue
            if candidate is not None:
                candidates.append(candidate)
        if not candidates:
            raise next(iter(failed.values()), UsageError(NOTHING.format(task.given)))
        ranking = rank(candidates, budget, LEVEL / ROUNDS)
        left, now = _left(ranking), time.perf_counter()
        running = [entrant for entrant in running if entrant.name in left]
        late = now + FACTOR * len(running) / len(candidates) * (now - began) > start + seconds
        if not running or late or number + 1 == ROUNDS or _settled(ranking, running):
            break
        dropped = [line for line in ranking.lines if line.estimator not in left] + dropped
    place = max((line.group for line in ranking.lines), default=0)
    later = [replace(line, group=line.group and line.group + place) for line in dropped]
    every = Ranking(budget, sorted([*ranking.lines, *later], key=lambda line: not line.group))
    return Race(every, settings.rows * settings.blocks, reference.name if reference else "", failed)


NOTHING = "the gradient of f at {!r} is zero or cannot be estimated: give other parameters, or train= to race trainings"


def _left(ranking: Ranking) -> set[str]:
    """Those tied with the best, and those of which too little is known to say that they are worse."""
    best = ranking.lines[0].error.hi if ranking.best else 1.0
    unknown = {x.estimator for x in ranking.lines if not x.group and x.m and not x.error.lo > best}
    backwards = {x.estimator for x in ranking.lines if x.reason == NO_BETTER and x.scale_bias.hi < -1}
    return set(ranking.tied) | (unknown - backwards)


def _settled(ranking: Ranking, running: Sequence[Entrant]) -> bool:
    """Whether more draws would not change the answer by more than 2 %."""
    first = ranking.lines[0]
    known = {x.estimator: x.error for x in ranking.lines if x.group}
    return bool(ranking.best) and all(
        entrant.name == first.estimator or (entrant.name in known and known[entrant.name].hi <= NEAR * first.error.lo)
        for entrant in running
    )
