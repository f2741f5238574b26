"""A bell of a Gaussian latent."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...estimators.latents import Continuous, Latent, Objective
from ..contract import Lower
from .closed_form import ClosedForm


class Bell(ClosedForm):
    """f(z) = exp(-k |z|²) under independent Gaussians, a product over sites.

    E f = Π_d exp(-k μ_d² / (1 + 2 k σ_d²)) / √(1 + 2 k σ_d²).
    """

    name = "bell"
    layer = "gaussian {d}"
    hyperparameters = {
        "k": {"default": 0.5, "above": 0.0, "about": "sharpness of the bell"},
        "d": {"default": 2, "min": 1, "max": 1000, "about": "sites"},
    }
    reference = "Mohamed, Rosca, Figurnov & Mnih 2020, section 3"
    family = "gaussian"

    k: float

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (-self.k * z.square().sum(-1)).exp()

    def expected(self, latent: Continuous) -> Tensor:
        wide = 1 + 2 * self.k * latent.variance
        return (-self.k * latent.mean.square() / wide - 0.5 * wide.log()).sum(-1).exp()
