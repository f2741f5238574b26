"""DVAE#'s overlapping smoothing with a uniform floor under the exponential."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..latents import LatentSpec
from . import exponential
from .overlapping import Overlap, Overlapping


class DvaesUniformExp(Overlapping):
    """Overlapping smoothing with r(ζ|0) = (1 - ε) β e^-βζ / (1 - e^-β) + ε on [0, 1] and r(ζ|1) = r(1 - ζ|0).

    The floor ε bounds the ratio of the two densities. δ is uniform with probability ε, where s < ε, and else
    exponential; each part of s is stretched to [0, 1].
    """

    formula = (
        r"g = \nabla_\phi f(\zeta),\quad \zeta \sim (1 - q)\, r(\zeta \mid 0) + q\, r(\zeta \mid 1),\quad "
        r"r(\zeta \mid 0) = (1 - \epsilon) \frac{\beta e^{-\beta \zeta}}{1 - e^{-\beta}} + \epsilon = r(1 - "
        r"\zeta \mid 1)"
    )
    name = "dvaes-uniform-exp"
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {
        "beta": {"default": 40.0, "above": 0.0, "about": "sharpness of the smoothing: the larger, the nearer to bits"},
        "epsilon": {"default": 0.05, "above": 0.0, "below": 1.0, "about": "weight of the uniform part"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Vahdat, Andriyash & Macready 2018, DVAE#"

    beta: float
    epsilon: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.breaks = (self.epsilon,)

    def overlap(self, s: Tensor) -> Overlap:
        beta, floor = self.beta, self.epsilon
        rest = ((s - floor) / (1 - floor)).clamp_min(0)
        delta = torch.where(s < floor, s / floor, exponential.quantile(beta, rest))
        within, crossed = (torch.lerp(of(beta, delta), delta, floor) for of in (exponential.cdf, exponential.survival))
        near, far = map(self.log_density, (delta, 1 - delta))
        return Overlap(delta, within, crossed, near, far)

    def log_density(self, delta: Tensor) -> Tensor:
        exponential_part = math.log1p(-self.epsilon) + exponential.log_density(self.beta, delta)
        return exponential_part.exp().add(self.epsilon).log()
