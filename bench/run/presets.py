"""Presets, how much to measure: quick for a first look, standard for a verdict, paper for a publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..sources import SOURCES, STEPS, Source

QUICK_TASKS = (
    "bit-table",
    "category-table",
    "two-layer",
    "moments",
    "tiny-vae",
    "vq-table",
    "vq-table:codebook=linear-codebook",
    "mnist-vae",
    "mnist-vae:arch=categorical",
    "mnist-vae:arch=gaussian",
    "mnist-vq",
)
TASKS = (
    "bit",
    "bit-table",
    "bit-table:d=2",
    "bit-table:extension={multilinear,cubic}",
    "category-table",
    "category-table:extension={multilinear,cubic}",
    "quadratic",
    "subset:extension={cubic,multilinear}",
    "subset:n=10,k=5",
    "subset-distance",
    "two-layer",
    "moments:family={gaussian,student-t,uniform,multivariate-normal,log-normal,gamma,dirichlet,exponential,weibull}",
    "cosine:family={gaussian,cauchy}",
    "bell",
    "sequence:beta={0,0.5}",
    "tiny-vae",
    "rbm-bits",
    "tiny-half:latents={bits,classes}",
    "vq-table:codebook={free,linear-codebook},temperature={0.1,1.0}",
    "mnist-vae:arch={linear,nonlinear,categorical,gaussian}",
    "mnist-half:arch={two-layer,categorical}",
    "mnist-vq:arch={mlp,conv}",
    "mnist-vq:codebook=linear-codebook",
    "mnist-vq:arch={mlp,conv},prior=autoregressive",
    "mnist-explain",
)


@dataclass(frozen=True)
class Preset:
    """The settings of each source, by default those of the quick preset, and the tasks to run when none is named."""

    name: str
    settings: Mapping[Source, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = TASKS

    def of(self, source: Source) -> Any:
        return self.settings.get(source, source.presets["quick"])

    def changed(self, source: Source, **values: Any) -> Preset:
        """This preset with these values in the settings of one source."""
        return replace(self, settings={**self.settings, source: replace(self.of(source), **values)})

    def trained(self, steps: int) -> Preset:
        """This preset with `steps` training steps, however long they take, and ten evaluations."""
        return self.changed(STEPS, steps=steps, seconds=1e6, evaluations=min(steps, 10))

    def watched(self, target_elbo: float | None, basket: tuple[str, ...]) -> Preset:
        """This preset with the time to a test ELBO, and with the bias and variance of a basket along training."""
        return self.changed(STEPS, target_elbo=target_elbo, basket=basket)


PRESETS = {
    name: Preset(name, {source: source.presets[name] for source in SOURCES.values()}, tasks)
    for name, tasks in (("quick", QUICK_TASKS), ("standard", TASKS), ("paper", TASKS))
}

ABOUT = {
    "quick": "a first look at every estimator in minutes: toys, and 100 training steps",
    "standard": "for a verdict: up to twenty times the draws, 6,000 training steps, every task",
    "paper": "for a publication: up to two hundred times the draws, 200,000 training steps, every task",
}
