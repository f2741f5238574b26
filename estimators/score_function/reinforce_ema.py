"""The score-function estimator with a moving-average baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..averages import move
from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Latent, LatentSpec, Objective, class_of


class ReinforceEma(Estimator):
    """g = (1/n) Σ_k (f(z_k) - m) ∇ log q(z_k), with m the moving average of past values of f.

    m ← decay m + (1 - decay) f̄ after use, so that m does not depend on the current draw; it is divided by the same
    average of ones, which corrects for its start at 0.
    """

    formula = r"g = \tfrac1n \sum_k (f(z_k) - m)\, \nabla \log q(z_k)"
    name = "reinforce-ema"
    latents = ("bernoulli", "categorical", "subset", "sequence", "continuous")
    hyperparameters = {
        "decay": {"default": 0.95, "min": 0.0, "below": 1.0, "about": "decay of the moving average, per training step"},
        "n": {"default": 1, "min": 1, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Williams 1992; decay .95 as in Storchastic (van Krieken et al. 2021)"

    decay: float
    n: int
    total: Tensor
    weight: Tensor

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def claim(self) -> Claim:
        return Claim(finite_variance=class_of(self.spec).finite_score)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z = f(draw)
        # Before the first update this is 0 / tiny = 0.
        mean = self.total / self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)
        return scored(f_z.mean(0), latent, draw, f_z - mean)

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        mean = estimate.value.detach().mean()
        move(self.total, mean, self.decay)
        move(self.weight, 1 + 0 * mean, self.decay)  # NaN, which is left out, where the mean is left out
