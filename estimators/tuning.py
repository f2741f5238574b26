"""Tuning an estimator's own parameters (temperatures, control-variate networks) on its tuning loss."""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Estimator


class Tuner:
    """Adam on an estimator's parameters, fed by `Estimate.tuning_loss`; does nothing for estimators without any.

    The gradient is taken with respect to the estimator's parameters alone, so nothing leaks into encoder or decoder.
    """

    def __init__(self, estimator: Estimator, lr: float = 1e-3) -> None:
        self.parameters = list(estimator.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr, fused=True) if self.parameters else None

    def step(self, tuning_loss: Tensor | None) -> None:
        """One step on `Estimate.tuning_loss`; call before the estimate's graph is freed by backward()."""
        if self.optimizer is None or tuning_loss is None:
            return
        gradients = torch.autograd.grad(
            tuning_loss, self.parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
