"""The source `draws`: gradient draws on toys, for bias and variance."""

from __future__ import annotations

from collections.abc import Sequence

from ..settings import DrawSettings
from ..source import Hooks, Outcome, Result, S, Source, one_by_one


class GradientDraws(Source):
    """`Draws` of an estimator on a toy."""

    name = "draws"
    label = "bias and variance"
    presets = {
        "quick": DrawSettings(),
        "standard": DrawSettings(rows=40_000, elements=1.2e10, tuning_steps=1000),
        "paper": DrawSettings(rows=400_000, elements=1.2e11, tuning_steps=5000),
    }
    size = "elements"
    typical_seconds = 1.2
    code = "bench/sources/draws/draws.py"

    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        from ..build import build_layers, build_task
        from .draws import draw_gradients

        def draw(subject: S) -> Outcome:
            task = build_task(subject)
            draws = draw_gradients(build_layers(subject, task), task, subject.settings, subject.seed)
            return Outcome("ok", draws, tuned_steps=draws.tuned_steps)

        return one_by_one(subjects, hooks, draw)


DRAWS = GradientDraws()
