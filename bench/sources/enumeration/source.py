"""The source `enumeration`: the mean and the variance of a gradient draw, with z enumerated instead of drawn."""

from __future__ import annotations

from collections.abc import Sequence

from ..settings import EnumerationSettings
from ..source import Hooks, Outcome, Result, S, Source, one_by_one


class Enumeration(Source):
    """`Enumerated` moments of an estimator on a toy."""

    name = "enumeration"
    label = "exact bias and variance"
    presets = {
        "quick": EnumerationSettings(),
        "standard": EnumerationSettings(draws=1000),
        "paper": EnumerationSettings(draws=1000, blocks=40),
    }
    size = "draws"
    counted = "draws of each configuration"
    typical_seconds = 0.2
    code = "bench/sources/enumeration/enumerated.py"

    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        from ..build import build_layers, build_task
        from .enumerated import enumerate_draws

        def moments(subject: S) -> Outcome:
            task = build_task(subject)
            return Outcome("ok", enumerate_draws(build_layers(subject, task), task, subject.settings, subject.seed))

        return one_by_one(subjects, hooks, moments)


ENUMERATION = Enumeration()
