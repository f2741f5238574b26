"""Gumbel-Rao: the straight-through Gumbel-softmax with its noise averaged given the draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..annealing import Schedule
from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from .surrogates import Relaxed, pulled_back


class GumbelRao(Estimator):
    """Forward z ~ q; backward the mean of k Gumbel-softmax Jacobians at noise drawn given z, with J = ∂f/∂z:

    g = 1/(kτ) Σ_j S(y_j) J, S(y) = diag(y) - y yᵀ, y_j = softmax((φ + G_j)/τ), G_j drawn given argmax(φ + G_j) = z.

    It has the mean of `st-gumbel-softmax`, which is k = 1, and no more variance. As there, the noise is held fixed: a
    derivative through its distribution given z, as the paper puts it, would have another mean.

    With rate > 0, τ = max(min_tau, tau exp(-rate t)) after t training steps.
    """

    formula = (
        r"g = \frac{1}{k \tau} \sum_j S(y_j)\, J,\quad y_j = \operatorname{softmax}((\phi + G_j) / \tau),\ "
        r"G_j \sim p(G \mid \operatorname{argmax}(\phi + G) = z),\quad S(p) = \operatorname{diag}(p) - p "
        r"p^\top,\ J = \partial f / \partial z"
    )
    name = "gumbel-rao"
    aliases = ("gr-mck",)
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "tau": {
            "default": 0.5,
            "above": 0.0,
            "about": "temperature of the Gumbel-softmax samples; the initial one if rate > 0",
        },
        "rate": {
            "default": 0.0,
            "min": 0.0,
            "about": "decay of tau: tau exp(-rate t) after t training steps; 0 keeps it fixed",
        },
        "min_tau": {"default": 0.5, "above": 0.0, "about": "lowest value of tau"},
        "k": {"default": 10, "min": 1, "about": "Gumbel-softmax samples given z"},
    }
    cost = "1 evaluation, 1 differentiation (k softmaxes)"
    reference = "Paulus, Maddison & Krause 2021, Rao-Blackwellizing the straight-through Gumbel-softmax, GR-MCK"

    tau: float
    rate: float
    min_tau: float
    k: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.temperature = Schedule.falling(self, "tau")

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: Discrete, generator: Generator | None) -> Relaxed:
        with torch.no_grad():
            z = latent.sample(1, generator)
            return Relaxed(z, latent.relax(latent.condition(z[0], self.k, generator), self.temperature()))

    def gradient(self, f: Objective, latent: Discrete, draw: Relaxed) -> Estimate:
        temperature = self.temperature()

        def pullback(j: Tensor, soft: Tensor) -> Tensor:
            return latent.softmax_jacobian(soft, j).mean(0, keepdim=True) / temperature

        return Estimate(f(pulled_back(draw.hard, latent.params, pullback, draw.soft)).mean(0))

    def update(self, draw: Relaxed, estimate: Estimate) -> None:
        self.temperature.count()
