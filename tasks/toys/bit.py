"""The toy of REBAR and RELAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class Bit(Toy):
    """f(b) = mean_d (b_d - t)², logits spread over [-1, 1] around `logit` (that of one bit).

    Exact gradient: (1 - 2t) p_d (1 - p_d) / D. The published toys take t = .45 (REBAR) and t = .499 (RELAX), where
    the gradient almost vanishes.
    """

    name = "bit"
    layer = "bernoulli {d}"
    hyperparameters = {
        "d": {"default": 1, "min": 1, "max": 10000, "about": "bits"},
        "t": {"default": 0.45, "about": "target of each bit"},
        "logit": {"default": 0.0, "about": "centre of the logits"},
    }
    reference = "Tucker et al. 2017, section 5.1; Grathwohl et al. 2018, section 4"

    d: int
    t: float
    logit: float

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.bernoulli(self.d),)
        spread = torch.linspace(-1, 1, self.d, dtype=torch.float64) if self.d > 1 else torch.zeros(1)
        self.logits = self.constant(spread + self.logit).requires_grad_()

    def params(self) -> Tensor:
        return self.logits

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (z - self.t).square().mean(-1)

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        if estimator is not None and not estimator.targets_expectation:
            return super().exact(estimator)
        p = self.logits.detach().cpu().double().sigmoid()
        value = (p * (1 - self.t) ** 2 + (1 - p) * self.t**2).mean()
        return {"value": value, "cut": (1 - 2 * self.t) * p * (1 - p) / self.d}
