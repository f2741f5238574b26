"""The straight-through estimator."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective


class StraightThrough(Estimator):
    """Forward a hard z; backward dz/dφ := dp_τ/dφ with p_τ = σ(φ/τ), softmax(φ/τ) for categoricals."""

    formula = (
        r"g = \frac{\partial p_\tau}{\partial \phi}^{\!\top} \frac{\partial f}{\partial z},\quad p_\tau = "
        r"\operatorname{softmax}(\phi / \tau)"
    )
    name = "straight-through"
    aliases = ("st",)
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {"tau": {"default": 1.0, "above": 0.0, "about": "temperature of the backward pass"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Bengio, Léonard & Courville 2013, Estimating or propagating gradients through stochastic neurons"

    tau: float

    def claim(self) -> Claim:
        return Claim(unbiased=False, exact_for="f linear in each site (multilinear) at tau=1")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        p = latent.tempered_probs(self.tau)
        return Estimate(f(draw + (p - p.detach())).mean(0))
