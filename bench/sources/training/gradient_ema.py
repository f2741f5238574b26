"""The gradient variance that the literature reports: from moving averages along training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class GradientEma:
    """Moving averages of g and g², for the gradient g of the inference network's parameters along training.

    The variance is the mean of E g² - (E g)² over coordinates, as in DisARM, ARMS and RODEO (decay .999). It includes
    the noise of minibatches and the movement of the parameters.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float = 0.999) -> None:
        self.parameters, self.decay, self.weight = parameters, decay, 0.0
        self.mean = [torch.zeros_like(parameter) for parameter in parameters]
        self.square = [torch.zeros_like(parameter) for parameter in parameters]

    def update(self) -> None:
        """Add the gradients of the last training step."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_lerp_(self.mean, gradients, 1 - self.decay)
        torch._foreach_lerp_(self.square, torch._foreach_mul(gradients, gradients), 1 - self.decay)
        self.weight = self.decay * self.weight + 1 - self.decay

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "square": self.square, "weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, kept in zip((*self.mean, *self.square), (*state["mean"], *state["square"]), strict=True):
            mine.copy_(kept)
        self.weight = state["weight"]

    def variance(self) -> float:
        """The mean over coordinates; `weight`, the moving average of ones, corrects for the start at zero."""
        pairs = zip(self.mean, self.square, strict=True)
        total = sum(float((s / self.weight - (m / self.weight).square()).sum()) for m, s in pairs)
        return total / sum(m.numel() for m in self.mean)
