"""The estimator of deep autoregressive networks, in its DARN(1/2) form."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .surrogates import pulled_back


class Darn(Estimator):
    """Forward b ~ q; backward db/dφ := ½ |b - p| = ½ [b (1 - p) + (1 - b) p] = ½ σ((1 - 2b) φ).

    The difference f(1) - f(0) as the mean of the slopes at both ends (the trapezoidal rule), which is exact for f
    quadratic in each bit. For bits it is the same as `zgr`, and as `reinmax` at tau=1.
    """

    formula = r"g = \tfrac12\, |b - p|\, \frac{\partial f}{\partial b},\quad b \sim q"
    name = "darn"
    aliases = ("half-estimator",)
    latents = ("bernoulli",)
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Gregor, Danihelka, Mnih, Blundell & Wierstra 2014, Deep autoregressive networks; Gu et al. 2016, MuProp"
    )

    def claim(self) -> Claim:
        return Claim(unbiased=False, exact_for="f quadratic in each site")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        weight = 0.5 * ((1 - 2 * draw) * latent.params.detach()).sigmoid()
        return Estimate(f(pulled_back(draw, latent.params, lambda j, weight: weight * j, weight)).mean(0))
