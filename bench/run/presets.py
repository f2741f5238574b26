"""How much to measure: quick for a first look, standard for a verdict, paper for a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..sources.settings import ClockSettings, DrawSettings, TrainSettings

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
    "two-layer",
    "moments:family={gaussian,student-t,uniform,multivariate-normal,log-normal,gamma,dirichlet,exponential,weibull}",
    "cosine:family={gaussian,cauchy}",
    "bell",
    "tiny-vae",
    "vq-table:codebook={free,linear-codebook},temperature={0.1,1.0}",
    "mnist-vae:arch={linear,nonlinear,categorical,gaussian}",
    "mnist-vq:arch={mlp,conv}",
    "mnist-vq:codebook=linear-codebook",
)


@dataclass(frozen=True)
class Preset:
    """The settings of each source, and the tasks run when none is named."""

    name: str
    draws: DrawSettings = field(default_factory=DrawSettings)
    steps: TrainSettings = field(default_factory=TrainSettings)
    clock: ClockSettings = field(default_factory=ClockSettings)
    tasks: tuple[str, ...] = TASKS

    def settings(self, source: str) -> Any:
        return getattr(self, source)

    def trained(self, steps: int) -> Preset:
        """The same with so many training steps, however long they take, and ten evaluations."""
        return replace(self, steps=replace(self.steps, steps=steps, seconds=1e6, evaluations=min(steps, 10)))

    def watched(self, target_elbo: float | None, basket: tuple[str, ...]) -> Preset:
        """The same, with the time to a test ELBO, and with the bias and variance of a basket along training."""
        return replace(self, steps=replace(self.steps, target_elbo=target_elbo, basket=basket))

    def scale(self, source: str) -> float:
        """About how many times the work of the quick preset a cell of this source is."""
        quick = Preset("quick")
        work = {"draws": ("draws", "elements"), "steps": ("steps", "steps"), "clock": ("clock", "repetitions")}
        part, size = work[source]
        return float(getattr(getattr(self, part), size) / getattr(getattr(quick, part), size))


PRESETS = {
    "quick": Preset("quick", tasks=QUICK_TASKS),
    "standard": Preset(
        "standard",
        DrawSettings(rows=40_000, elements=1.2e10, tuning_steps=1000),
        TrainSettings(
            steps=6_000,
            seconds=900.0,
            evaluations=10,
            images=10_000,
            iw_images=1000,
            variance_draws=32,
            reference_draws=1024,
        ),
        ClockSettings(warmup=20, repetitions=200, rounds=10, seconds=1.0),
    ),
    "paper": Preset(
        "paper",
        DrawSettings(rows=400_000, elements=1.2e11, tuning_steps=5000),
        TrainSettings(
            steps=200_000,
            seconds=1e6,
            evaluations=40,
            images=10_000,
            iw_images=10_000,
            iw_samples=1000,
            variance_draws=32,
            reference_draws=4096,
        ),
        ClockSettings(warmup=50, repetitions=1000, rounds=20, seconds=5.0),
    ),
}
