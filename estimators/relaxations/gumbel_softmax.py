"""The Gumbel-softmax (Concrete) relaxation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..annealing import Schedule
from ..contract import Claim, Estimate, Estimator
from ..latents import ExponentialFamily, LatentSpec, Objective
from ..quadrature import smoothed_expectation, uniform_of_bit


class GumbelSoftmax(Estimator):
    """∇_φ f(softmax((log π + G) / τ)); for bits ∇_φ f(σ((φ + logistic) / τ)), the binary Concrete.

    The gradient of the relaxed objective, not of E_q f: f must accept relaxed z. Unbiased for the relaxed
    objective, biased for the discrete one. On subsets this is the relaxed Gumbel top-k, k successive softmaxes.

    With rate > 0, τ = max(min_tau, tau exp(-rate t)) after t training steps; the published schedules have tau=1,
    min_tau=0.5 and rates of 1e-5 to 1e-4.
    """

    formula = r"g = \nabla_\phi f\big(\operatorname{softmax}((\log \pi + G) / \tau)\big)"
    name = "gumbel-softmax"
    aliases = ("concrete", "gumbel-top-k")
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
    reference = (
        "Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017; for subsets Xie & Ermon 2019, Reparameterizable subset "
        "sampling via continuous relaxations"
    )

    tau: float
    rate: float
    min_tau: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.temperature = Schedule.falling(self, "tau")

    def claim(self) -> Claim:
        return Claim(target="own-relaxed")

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        return Estimate(f(latent.relax(latent.perturb(draw), self.temperature())).squeeze(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.temperature.count()

    def relaxed_target(self, f: Objective, latent: ExponentialFamily) -> Tensor | None:
        def concrete(z: int, s: Tensor) -> Tensor:
            noise = torch.logit(uniform_of_bit(z, s, latent.probs))
            return latent.relax(latent.perturb(noise), self.temperature())

        return smoothed_expectation(f, latent, concrete)
