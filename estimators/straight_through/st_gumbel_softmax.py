"""The straight-through Gumbel-softmax."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective


class StGumbelSoftmax(Estimator):
    """Forward the hard z of perturbed logits; backward the Gumbel-softmax Jacobian at the same noise and τ."""

    formula = (
        r"g = \frac{\partial y}{\partial \phi}^{\!\top} \frac{\partial f}{\partial z},\quad y = "
        r"\operatorname{softmax}((\phi + G) / \tau),\ z = \operatorname{onehot}(\operatorname{argmax}(\phi + "
        r"G))"
    )
    name = "st-gumbel-softmax"
    aliases = ("stgs", "gumbel-st")
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {"tau": {"default": 0.5, "above": 0.0}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Jang, Gu & Poole 2017, section 2.2"

    tau: float

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        perturbed = latent.perturb(draw)
        soft = latent.relax(perturbed, self.tau)
        return Estimate(f(latent.harden(perturbed) + (soft - soft.detach())).mean(0))
