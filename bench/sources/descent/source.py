"""The source `descent`: training a toy's parameters with an estimator."""

from __future__ import annotations

from collections.abc import Sequence

from ..settings import DescentSettings
from ..source import Hooks, Outcome, Result, S, Source, one_by_one


class Descent(Source):
    """A list of `Epoch`s along several independent trainings of a toy's parameters, all in one cell."""

    name = "descent"
    label = "training of a toy"
    presets = {
        "quick": DescentSettings(),
        "standard": DescentSettings(steps=10_000, evaluations=50),
        "paper": DescentSettings(steps=10_000, evaluations=50),
    }
    size = "steps"
    typical_seconds = 1.0
    code = "bench/sources/descent/descent.py"

    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        from ..build import build_layers, build_task
        from .descent import descend

        def train_one(subject: S) -> Outcome:
            task = build_task(subject)
            epochs = descend(build_layers(subject, task), task, subject.settings, subject.seed, hooks.tick)
            return Outcome("ok", epochs) if epochs[-1].finite else Outcome("diverged", epochs, epochs[-1].reason)

        return one_by_one(subjects, hooks, train_one)


DESCENT = Descent()
