"""The Gumbel-softmax (Concrete) relaxation."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Latent, Objective


class GumbelSoftmax(Estimator):
    """∇_φ f(softmax((log π + G) / τ)); for bits ∇_φ f(σ((φ + logistic) / τ)), the binary Concrete.

    The gradient of the relaxed objective, not of E_q f: f must accept relaxed z, and is biased for the discrete one.
    """

    name = "gumbel-softmax"
    aliases = ("concrete",)
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {"tau": {"default": 0.5, "above": 0.0}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017"

    tau: float

    def claim(self) -> Claim:
        return Claim(target="own-relaxed", unbiased=False)

    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return Estimate(f(latent.relax(latent.perturb(draw), self.tau)).mean(0))
