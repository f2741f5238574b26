"""Tuning an estimator's own parameters (temperatures, control-variate networks) on its tuning loss."""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Estimator


class Tuner:
    """Adam on an estimator's own parameters and tuning loss; does nothing for an estimator without parameters.

    The tuning loss (`Estimate.tuning_loss`) is the loss of the control variate's own parameters, usually the mean
    square of the gradient. It is differentiated in these parameters alone, so that encoder and decoder are not trained
    on it.
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
            parameter.grad = gradient.nan_to_num(0.0, 0.0, 0.0)  # Adam would keep a NaN or an infinity for good
        self.optimizer.step()
        self.optimizer.zero_grad()  # a model's optimizer that holds the estimator too must not find these gradients
