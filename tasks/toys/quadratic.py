"""A quadratic in many bits, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class Quadratic(Toy):
    """f(b) = ||W b - s||² with W [4, D] of entries N(0, 1/D) and s = W p + N(0, 1): all bits interact.

    E f = ||W p - s||² + Σ_d ||W_d||² p_d (1 - p_d), so that
    ∂E f/∂φ_d = p_d (1 - p_d) [2 W_dᵀ(W p - s) + ||W_d||² (1 - 2 p_d)].
    """

    name = "quadratic"
    layer = "bernoulli {d}"
    hyperparameters = {"d": {"default": 100, "min": 2, "max": 10000, "about": "bits"}}
    RANK = 4

    d: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.bernoulli(self.d),)
        self.logits = self.random(self.d, seed=1).requires_grad_()
        self.weight = self.random(self.RANK, self.d, seed=2) / self.d**0.5
        offset = self.random(self.RANK, seed=3)
        self.target = self.weight @ self.logits.detach().sigmoid() + offset

    def params(self) -> Tensor:
        return self.logits

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (z @ self.weight.T - self.target).square().sum(-1)

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        if estimator is not None and not estimator.targets_expectation:
            return super().exact(estimator)
        task = Quadratic("cpu", torch.float64, d=self.d)
        p = task.logits.detach().sigmoid()
        residual, norms = task.weight @ p - task.target, task.weight.square().sum(0)
        value = residual.square().sum() + (norms * p * (1 - p)).sum()
        logits_gradient = p * (1 - p) * (2 * task.weight.T @ residual + norms * (1 - 2 * p))
        return {"value": value, "cut": logits_gradient}
