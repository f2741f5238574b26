"""The source `steps`: training a model with an estimator, evaluated along the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..settings import TrainSettings
from ..source import Hooks, Outcome, Result, S, Source, one_by_one

if TYPE_CHECKING:
    from ...store.store import Store
    from .checkpoint import Checkpoint


class Training(Source):
    """A list of `Point`s along the training of a model with an estimator; a checkpoint keeps an unfinished training."""

    name = "steps"
    label = "training"
    presets = {
        "quick": TrainSettings(),
        "standard": TrainSettings(
            steps=6_000,
            seconds=900.0,
            evaluations=10,
            images=10_000,
            iw_images=1000,
            variance_draws=32,
            reference_draws=1024,
        ),
        "paper": TrainSettings(
            steps=200_000,
            seconds=1e6,
            evaluations=40,
            images=10_000,
            iw_images=10_000,
            iw_samples=1000,
            variance_draws=32,
            reference_draws=4096,
        ),
    }
    size = "steps"
    typical_seconds = 5.0
    code = "bench/sources/training/loop.py"

    def in_flight(self, store: Store, part: str) -> Checkpoint:
        from .checkpoint import Checkpoint

        return Checkpoint(store.checkpoint(part))

    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        from ..build import build_layers, build_task
        from .checkpoint import Checkpoint
        from .loop import train
        from .point import Diverged

        checkpoint = hooks.in_flight if isinstance(hooks.in_flight, Checkpoint) else Checkpoint()

        def train_one(subject: S) -> Outcome:
            task = build_task(subject)
            whole = build_layers(subject, task).whole
            try:
                points = train(task, whole, subject.settings, subject.seed, hooks.tick, checkpoint)
            except Diverged as end:
                return Outcome("diverged", end.points, str(end))
            return Outcome("ok", points)

        results = one_by_one(subjects, hooks, train_one)
        if checkpoint.damaged:
            hooks.say(f"its checkpoint was damaged, so it was trained from the start: {subjects[0]}")
        return results


STEPS = Training()
