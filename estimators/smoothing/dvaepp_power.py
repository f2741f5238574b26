"""DVAE++'s overlapping power-function smoothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .overlapping import Overlap, Overlapping


class DvaeppPower(Overlapping):
    """Overlapping smoothing with r(ζ|0) = λ ζ^(λ - 1) on [0, 1], λ = 1/β, and r(ζ|1) = r(1 - ζ|0).

    R₀(ζ) = ζ^λ, δ = s^β. The densities are infinite at their bit and are computed as logarithms. The power smoothing of
    DVAE# is the same formula inside an importance-weighted objective, and an alias here.
    """

    formula = (
        r"g = \nabla_\phi f(\zeta),\quad \zeta \sim (1 - q)\, r(\zeta \mid 0) + q\, r(\zeta \mid 1),\quad "
        r"r(\zeta \mid 0) = \lambda \zeta^{\lambda - 1} = r(1 - \zeta \mid 1),\ \lambda = 1 / \beta"
    )
    name = "dvaepp-power"
    aliases = ("dvaes-power",)
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {
        "beta": {"default": 40.0, "above": 0.0, "about": "sharpness of the smoothing: the larger, the nearer to bits"}
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Vahdat, Macready, Bian, Khoshaman & Andriyash 2018, DVAE++; Vahdat, Andriyash & Macready 2018, DVAE#"

    beta: float

    def overlap(self, s: Tensor) -> Overlap:
        power = 1 / self.beta
        log_delta = self.beta * s.log()
        log_rest = torch.log1p(-log_delta.exp())
        near, far = (math.log(power) + (power - 1) * x for x in (log_delta, log_rest))
        return Overlap(log_delta.exp(), s, -torch.expm1(power * log_rest), near, far)

    def log_density(self, delta: Tensor) -> Tensor:
        """δ is kept apart from 0, where many a ζ underflows to."""
        power = 1 / self.beta
        return math.log(power) + (power - 1) * delta.clamp_min(torch.finfo(delta.dtype).tiny).log()
