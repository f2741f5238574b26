"""What stands for the exact gradient where the configurations of z cannot be enumerated."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS
from ..sources.build import Layers
from ..sources.draws.draws import Draws, draw_gradients
from ..sources.settings import DrawSettings
from ..sources.training.logits_gradients import REFERENCES
from ..statistics.moments import Moments
from .given import Given

LOOKS = (1001, 1002)
"""Of the reference and of its direction: random numbers that no candidate uses."""


@dataclass(frozen=True)
class Reference:
    """A long mean of an unbiased estimator of low variance, [D], with its block means, which carry its own error.

    direction: a second, independent mean. A bias is measured along it, because the error of a mean is correlated with
    the mean itself.
    """

    name: str
    moments: Moments
    direction: np.ndarray

    @classmethod
    def drawn(cls, task: Given, settings: DrawSettings, seed: int) -> Reference | None:
        """None where E f can be enumerated, or where no estimator is known to be unbiased of low variance."""
        kind = task.layers[0].kind
        if task.enumerable or kind not in REFERENCES:
            return None
        name = REFERENCES[kind] if task.differentiable or kind != "continuous" else "rloo:n=4"
        parsed = Name.parse(name)
        layers = Layers(ESTIMATORS.find(parsed.family).load(), parsed.values, task, task.device)
        one, two = (
            draw_gradients(layers, task, replace(settings, look=look), seed).moments["cut"]
            for look in (settings.look + first for first in LOOKS)
        )
        return cls(name, one, two.mean)


@dataclass(frozen=True)
class ReferencedDraws(Draws):
    """Draws whose gradient is judged against a reference: the error of both is in each block of their difference."""

    reference: Reference

    @classmethod
    def of(cls, draws: Draws, reference: Reference | None) -> Draws:
        """The draws themselves where there is no reference, and for an objective other than E f."""
        if reference is None or draws.exact or draws.claim.target not in ("discrete", "own-relaxed", "none"):
            return draws
        return cls(**{each.name: getattr(draws, each.name) for each in fields(draws)}, reference=reference)

    @property
    def judged(self) -> dict[str, tuple[Moments, np.ndarray]]:
        own, other = self.moments["cut"], self.reference.moments
        means = own.block_means - other.block_means + self.reference.direction
        variance = own.variance + other.variance * (own.n / other.n)
        together = replace(own, mean=means.mean(0), variance=variance, block_means=means, block_spread=None)
        return super().judged | {"cut": (together, self.reference.direction)}
