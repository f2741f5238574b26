"""The scale at which a protocol is run, and the trials and settings of its cells at that length. No torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS, TASKS
from ..run.presets import PRESETS
from ..sources import SOURCES, STEPS
from ..sources.settings import TrainSettings
from .protocol import Method, Protocol
from .search import points

IN_STEPS = ("warmup", "kl_warmup")
PER_STEP = ("rate",)
"""Parameters of tasks and estimators in units of training steps, and per training step: they scale with the length."""

IMAGES, IW_IMAGES = 60_000, 10_000
EVALUATION_SHARE = 10  # evaluations process at most a tenth as many images as training does

Trial = tuple[Name, Name]
"""An estimator on a task, in canonical names: one point of a search."""


@dataclass(frozen=True)
class Scale:
    """Training steps, reporting seeds, and at most how many trials of a random search; 0 for the whole search.

    With one trial, the middle of each sweep replaces the choice.
    """

    steps: int
    seeds: int
    trials: int = 0

    @classmethod
    def full(cls, protocol: Protocol) -> Scale:
        return cls(protocol.length, protocol.seeds)

    @classmethod
    def stored(cls, given: Any, most: Scale) -> Scale | None:
        """The scale in a context, which may come from anyone; None where it is none, or larger than `most`."""
        match given:
            case {"steps": int(steps), "seeds": int(seeds), "trials": int(trials)}:
                fewer = trials == most.trials or 0 < trials < (most.trials or math.inf)
                fits = 0 < steps <= most.steps and 0 < seeds <= most.seeds and fewer
                return cls(steps, seeds, trials) if fits else None
        return None

    def words(self, protocol: Protocol) -> str:
        """Such as 'scaled down to 100 of 150000 steps, 1 of 5 seeds'; '' at full scale."""
        parts = []
        if self.steps < protocol.length:
            parts.append(f"{self.steps} of {protocol.length} {SOURCES[protocol.source].counted}")
        if self.seeds < protocol.seeds:
            parts.append(f"{self.seeds} of {protocol.seeds} seeds")
        if self.trials == 1:
            parts.append("one value of each sweep")
        elif 0 < self.trials < protocol.trials:
            parts.append(f"{self.trials} of {protocol.trials} trials")
        return f"scaled down to {', '.join(parts)}" if parts else ""


def trials(protocol: Protocol, method: Method, setting: str, scale: Scale) -> list[Trial]:
    """The trials of a method in a setting. Raises UsageError on an unknown name or value."""
    share = scale.steps / protocol.length
    return [
        (ESTIMATORS.canonical(scaled(estimator, share)), TASKS.canonical(scaled(task, share)))
        for estimator, task in points(protocol, method, setting, scale.trials)
    ]


def scaled(name: Name, share: float) -> Name:
    """`name` for a training of `share` of the full length: with shorter warm-ups and faster annealing rates."""

    def value(key: str, full: Any) -> Any:
        if key in IN_STEPS:
            return round(full * share)
        return float(f"{full / share:.6g}") if key in PER_STEP else full

    return Name(name.family, tuple((key, value(key, full)) for key, full in name.params))


def settings_at(protocol: Protocol, scale: Scale) -> Any:
    """The settings of a cell that is reported, of the protocol's source."""
    return training_at(protocol, scale) if protocol.source == STEPS.name else toy_at(protocol, scale)


def trial_settings_at(protocol: Protocol, scale: Scale) -> Any:
    """The settings of a trial's cells, which measure what `select` compares and nothing else."""
    settings = settings_at(protocol, scale)
    if protocol.source != STEPS.name:
        return settings
    return replace(
        settings,
        evaluations=settings.evaluations if protocol.report == "best" else 1,
        splits=(protocol.selection_split,),
        iw_images=0,
        variance_draws=0,
        reference_draws=0,
    )


def toy_at(protocol: Protocol, scale: Scale) -> Any:
    """The settings of a cell of a toy; shorter trainings have fewer epochs, of the same length."""
    source = SOURCES[protocol.source]
    paper = source.presets["paper"]
    values = {**protocol.measuring, source.size: scale.steps}
    if "evaluations" in asdict(paper):
        values["evaluations"] = max(1, protocol.evaluations * scale.steps // protocol.length)
    return replace(paper, **values)


def training_at(protocol: Protocol, scale: Scale) -> TrainSettings:
    """The settings of a training on MNIST; shorter ones have fewer evaluations, of fewer images and samples.

    The draws and the reference are minimal, because a protocol is not run for variance and bias.
    """
    passed = scale.steps * protocol.values.get("batch", 100) // EVALUATION_SHARE
    evaluations = max(1, min(protocol.evaluations, scale.steps // 100))
    asked = protocol.measured.startswith("iw")
    images, iw_images, samples = IMAGES, IW_IMAGES if asked else 0, protocol.samples
    if scale.steps < protocol.length:
        images = min(images, max(100, passed // evaluations))
        samples = min(samples, max(10, math.isqrt(passed)))
        iw_images = min(iw_images, max(10, passed // samples))
    return replace(
        PRESETS["paper"].trained(scale.steps).of(STEPS),
        evaluations=evaluations,
        images=images,
        iw_images=iw_images,
        iw_samples=samples,
        variance_draws=3,
        reference_draws=16,
    )
