"""The race by training: each candidate trains the caller's model, and the worse half drops out again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..ranking.trained import Trained, of_scores
from ..sources.streams import stream
from .candidates import Entrant
from .given import Given
from .judged import judged
from .race import Show

FINALISTS, SEEDS = 4, 3
FEWEST = 4
"""Training steps of the first rung."""
SCORED = 4
"""A score is the mean loss over the last of so many parts of a training."""

Step = Callable[[], Any]
Train = Callable[[Any], Step]


class Training:
    """One estimator's training, which pauses and goes on with the random state that it was left with."""

    def __init__(self, entrant: Entrant, train: Train, task: Given, seed: int) -> None:
        self.estimator = entrant.make().top.train()
        self.device, self.steps, self.seconds = task.device, 0, 0.0
        self.losses = stream(seed, "judge", task.device)
        self.state: Any = None
        with self._random():
            torch.manual_seed(seed)
            self.step = train(self.estimator)

    def until(self, steps: int) -> float:
        """Train up to that step; returns the mean loss of the last part, infinite if it diverged."""
        silent = steps - max(1, steps // SCORED)
        with self._random():
            start, before = time.perf_counter(), self.steps
            for _ in range(before, silent):
                last = self.step()
            if silent > before:
                float(torch.as_tensor(last).detach().mean())  # waits for the device
                self.seconds = (time.perf_counter() - start) / (silent - before)
            with judged(self.estimator, self.losses):
                found = [self._loss(self.step()) for _ in range(max(before, silent), steps)]
        self.steps = steps
        score = float(torch.stack(found).mean())
        return score if math.isfinite(score) else math.inf

    def _loss(self, loss: Any) -> torch.Tensor:
        return torch.as_tensor(loss, device=self.device).detach().double().mean()

    @contextmanager
    def _random(self) -> Iterator[None]:
        """Torch's random state is this training's own inside, and outside as it was."""
        kind = self.device.type
        module = None if kind == "cpu" else torch.get_device_module(self.device)
        with torch.random.fork_rng([self.device] if module else [], **({"device_type": kind} if module else {})):
            if self.state is not None:
                cpu, own = self.state
                torch.set_rng_state(cpu)
                if module:
                    module.set_rng_state(own, self.device)
            yield
            self.state = torch.get_rng_state(), module.get_rng_state(self.device) if module else None


@dataclass(frozen=True)
class TrainingRace:
    """trained: the finalists, with minus the loss for the ELBO. early: the others, best first, with their loss and the
    steps after which they dropped out. pace: seconds per training step. failed: what each candidate raised.
    """

    trained: Trained
    steps: int
    early: dict[str, tuple[float, int]]
    pace: dict[str, float]
    failed: dict[str, Exception]


@dataclass
class Field:
    """The trainings of a race, by estimator and seed."""

    task: Given
    train: Train
    entrants: dict[str, Entrant]
    show: Callable[[str], None]
    trainings: dict[tuple[str, int], Training] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)

    def losses(self, names: Iterable[str], seed: int, steps: int) -> dict[str, float]:
        """The loss of each up to that step, best first, without those that raise; infinite where it diverged."""
        found: dict[str, float] = {}
        for name in names:
            self.show(name)
            try:
                if (name, seed) not in self.trainings:
                    self.trainings[name, seed] = Training(self.entrants[name], self.train, self.task, seed)
                found[name] = self.trainings[name, seed].until(steps)
            except Exception as error:
                error.add_note(f"training with {name}")
                self.failed[name] = error
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def leave(self, names: Iterable[str], seed: int) -> None:
        """Free the memory of trainings that have ended."""
        for name in names:
            self.trainings.pop((name, seed), None)


def training_race(
    task: Given, entrants: Sequence[Entrant], train: Train, seconds: float, seed: int, show: Show
) -> TrainingRace:
    """Halve the candidates at equal steps, twice as many each time, until FINALISTS are left; then SEEDS seeds of each.

    The first rung is as long as `seconds` allow. All trainings of a seed start from the same random state. Trainings
    that raise or diverge drop out. If all raise, so does this, with what the first one raised.
    """
    start = time.perf_counter()

    def report(name: str) -> None:
        show(min(1.0, (time.perf_counter() - start) / seconds), f"training with {name}")

    race = Field(task, train, {entrant.name: entrant for entrant in entrants}, report)
    race.losses(race.entrants, seed, 1)  # the first step may allocate and compile
    warm = time.perf_counter()
    running = list(race.losses([name for name in race.entrants if name not in race.failed], seed, 2))
    if not running:
        raise next(iter(race.failed.values()))
    now = time.perf_counter()
    steps = _first_rung(len(running), now - warm, seconds - (now - start))
    early: dict[str, tuple[float, int]] = {}
    pace: dict[str, float] = {}
    while True:
        losses = race.losses(running, seed, steps)
        pace |= {name: race.trainings[name, seed].seconds for name in losses}
        finite = sum(map(math.isfinite, losses.values()))
        kept = list(losses)[: min(finite, max(FINALISTS, len(losses) // 2))]
        last = len(losses) <= FINALISTS
        out = [name for name in losses if name not in kept]
        early = {name: (losses[name], steps) for name in out} | early
        race.leave(out, seed)
        running = kept
        if last or not running:
            break
        steps *= 2
    scores = {seed: {name: losses[name] for name in running}}
    race.leave(running, seed)
    for other in range(seed + 1, seed + SEEDS):
        scores[other] = race.losses(running, other, steps)
        race.leave(running, other)
    table = -pd.DataFrame(scores).reindex(running)
    whole = table[np.isfinite(table.to_numpy(dtype=float)).all(axis=1)]
    reasons = {name: "it diverged or failed at one of the seeds" for name in running if name not in whole.index}
    trained = of_scores(f"{steps} steps", whole, pd.Series(dtype=float), reasons)
    return TrainingRace(trained, steps, early, pace, race.failed)


def _first_rung(candidates: int, per_step: float, seconds: float) -> int:
    """Steps s of the first rung, per_step seconds each for all candidates: s/2 in each later rung, and further seeds of
    the finalists.
    """
    rungs = max(0, math.ceil(math.log2(candidates / FINALISTS)))
    finals = min(FINALISTS, candidates) * 2**rungs * (SEEDS - 1) / candidates
    return max(FEWEST, math.floor(seconds / (per_step * (1 + rungs / 2 + finals))))
