"""The straight-through Gumbel-softmax."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..annealing import Schedule
from ..contract import Claim, Estimate, Estimator
from ..latents import ExponentialFamily, LatentSpec, Objective


class StGumbelSoftmax(Estimator):
    """Forward the hard z of perturbed logits; backward the Gumbel-softmax Jacobian at the same noise and τ.

    On subsets this is the straight-through Gumbel top-k: forward the k largest perturbed logits, which are no draw of q
    (`Subset`), backward the Jacobian of k successive softmaxes.

    With rate > 0, τ = max(min_tau, tau exp(-rate t)) after t training steps.
    """

    formula = (
        r"g = \frac{\partial y}{\partial \phi}^{\!\top} \frac{\partial f}{\partial z},\quad y = "
        r"\operatorname{softmax}((\phi + G) / \tau),\ z = \operatorname{onehot}(\operatorname{argmax}(\phi + "
        r"G))"
    )
    name = "st-gumbel-softmax"
    aliases = ("stgs", "gumbel-st", "gumbel-top-k-st")
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {
        "tau": {"default": 0.5, "above": 0.0, "about": "temperature of the relaxation; the initial one if rate > 0"},
        "rate": {
            "default": 0.0,
            "min": 0.0,
            "about": "decay of tau: tau exp(-rate t) after t training steps; 0 keeps it fixed",
        },
        "min_tau": {"default": 0.5, "above": 0.0, "about": "lowest value of tau"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Jang, Gu & Poole 2017, section 2.2; for subsets Xie & Ermon 2019, Reparameterizable subset sampling"

    tau: float
    rate: float
    min_tau: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.temperature = Schedule.falling(self, "tau")

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        perturbed = latent.perturb(draw)
        soft = latent.relax(perturbed, self.temperature())
        return Estimate(f(latent.harden(perturbed) + (soft - soft.detach())).mean(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.temperature.count()
