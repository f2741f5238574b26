"""Straight-through with an annealed slope."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..steps import Steps


class SlopeAnnealedSt(Estimator):
    """Forward b ~ Bernoulli(σ(φ)); backward db/dφ := dσ(aφ)/dφ = a σ(aφ) (1 - σ(aφ)) with a slope a that grows:

    a = min(max_slope, start (1 + rate t)) after t training steps; frozen in eval().

    a = 1 is `straight-through`; as a grows, σ(aφ) approaches the step function and its gradient concentrates at φ ≈ 0.
    The paper uses a hard sigmoid and adds 0.04 per epoch; here rate is per training step: 1e-4 is 0.04 in 400 steps.
    """

    formula = (
        r"g = a\, \sigma(a \phi)(1 - \sigma(a \phi))\, \frac{\partial f}{\partial b},\quad a = "
        r"\min(a_{\max},\ a_0 (1 + \mathrm{rate} \cdot t))"
    )
    name = "slope-annealed-st"
    aliases = ("annealed-st",)
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {
        "start": {"default": 1.0, "above": 0.0, "about": "initial slope"},
        "rate": {"default": 1e-4, "min": 0.0, "about": "growth of the slope per training step, relative to its start"},
        "max_slope": {"default": 5.0, "above": 0.0, "about": "largest slope"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Chung, Ahn & Bengio 2017, Hierarchical multiscale recurrent neural networks, section 2.4"

    start: float
    rate: float
    max_slope: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.steps = Steps(torch.get_default_dtype())

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def slope(self) -> Tensor:
        """a."""
        return (self.start * (1 + self.rate * self.steps())).clamp_max(self.max_slope)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        p = (self.slope() * latent.params).sigmoid()
        return Estimate(f(draw + (p - p.detach())).mean(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.steps.call()
