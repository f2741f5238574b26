"""DVAE++'s overlapping exponential smoothing."""

from __future__ import annotations

from torch import Tensor

from . import exponential
from .overlapping import Overlap, Overlapping


class DvaeppExp(Overlapping):
    """Overlapping smoothing with r(ζ|0) = β e^-βζ / (1 - e^-β) on [0, 1] and r(ζ|1) = r(1 - ζ|0).

    The paper inverts the mixture's CDF; the implicit gradient here is the derivative of that inverse. DVAE# uses the
    same smoothing.
    """

    formula = (
        r"g = \nabla_\phi f(\zeta),\quad \zeta \sim (1 - q)\, r(\zeta \mid 0) + q\, r(\zeta \mid 1),\quad "
        r"r(\zeta \mid 0) = \frac{\beta e^{-\beta \zeta}}{1 - e^{-\beta}} = r(1 - \zeta \mid 1)"
    )
    name = "dvaepp-exp"
    aliases = ("dvaes-exp",)
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {
        "beta": {"default": 12.0, "above": 0.0, "about": "sharpness of the smoothing: the larger, the nearer to bits"}
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Vahdat, Macready, Bian, Khoshaman & Andriyash 2018, DVAE++"

    beta: float

    def overlap(self, s: Tensor) -> Overlap:
        delta = exponential.quantile(self.beta, s)
        near, far = map(self.log_density, (delta, 1 - delta))
        return Overlap(delta, s, exponential.survival(self.beta, delta), near, far)

    def log_density(self, delta: Tensor) -> Tensor:
        return exponential.log_density(self.beta, delta)
