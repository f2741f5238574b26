"""DVAE#'s overlapping Gaussian smoothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .overlapping import Overlap, Overlapping


class DvaesGaussian(Overlapping):
    """Overlapping smoothing with r(ζ|z) = N(z, 1/β): ζ is not confined to [0, 1].

    R₀(δ) = Φ(√β δ) = s and 1 - R₀(1 - δ) = Φ(√β (δ - 1)). E ζ = q and E ζ² = q + 1/β, so that it is also unbiased
    for E_q f if f is quadratic in each bit.
    """

    formula = (
        r"g = \nabla_\phi f(\zeta),\quad \zeta \sim (1 - q)\, r(\zeta \mid 0) + q\, r(\zeta \mid 1),\quad "
        r"r(\zeta \mid z) = \mathcal{N}(z, 1 / \beta)"
    )
    name = "dvaes-gaussian"
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {"beta": {"default": 40.0, "above": 0.0, "about": "inverse variance around each bit"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Vahdat, Andriyash & Macready 2018, DVAE#"

    exact_for = "f quadratic in each site"

    beta: float

    def overlap(self, s: Tensor) -> Overlap:
        delta = torch.special.ndtri(s) / math.sqrt(self.beta)
        crossed = torch.special.ndtr(math.sqrt(self.beta) * (delta - 1))
        near, far = map(self.log_density, (delta, 1 - delta))
        return Overlap(delta, s, crossed, near, far)

    def log_density(self, delta: Tensor) -> Tensor:
        return 0.5 * math.log(self.beta / (2 * math.pi)) - self.beta / 2 * delta.square()
