"""The straight-through Gumbel-softmax with two temperatures."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import ExponentialFamily, Objective, expectation


class DecoupledStGumbelSoftmax(Estimator):
    """With the same Gumbel (logistic) noise G in both passes:

    forward z = onehot(argmax(φ/τ_f + G)); backward dz/dφ := d softmax(φ/τ_b + G)/dφ (σ for bits).

    The temperature divides the logits alone, not the noise: (φ + G)/τ_f would have the same argmax for every τ_f.
    So z ~ softmax(φ/τ_f), which is q for τ_f = 1 only: with any other τ_f the target is E f under that distribution.
    The formula is that of the abstract; neither the paper's equations nor its code were read.
    """

    formula = (
        r"g = \frac{\partial \operatorname{softmax}(\phi / \tau_b + G)}{\partial \phi}^{\!\top} "
        r"\frac{\partial f}{\partial z},\quad z = \operatorname{onehot}(\operatorname{argmax}(\phi / \tau_f + "
        r"G))"
    )
    name = "decoupled-st-gumbel-softmax"
    aliases = ("decoupled-stgs",)
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {
        "tau_forward": {
            "default": 1.0,
            "above": 0.0,
            "about": "temperature of the forward pass; only at 1 is z a draw of q",
        },
        "tau_backward": {"default": 2.0, "above": 0.0, "about": "temperature of the backward pass"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Shah, Yan, Mozer & Liu 2024, Improving discrete optimisation via decoupled straight-through Gumbel-softmax"
    )

    tau_forward: float
    tau_backward: float

    def claim(self) -> Claim:
        return Claim(target="discrete" if self.tau_forward == 1 else "other-law", unbiased=False)

    def target(self, f: Objective, latent: ExponentialFamily) -> Tensor:
        return expectation(f, latent.at(latent.params / self.tau_forward))

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        z = latent.harden(latent.params / self.tau_forward + draw)
        soft = latent.relax(latent.params / self.tau_backward + draw, 1.0)
        return Estimate(f(z + (soft - soft.detach())).mean(0))
