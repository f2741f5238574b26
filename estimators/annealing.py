"""A hyper-parameter that moves with the training steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Schedule(nn.Module):
    """start · exp(rate t) after t training steps, as far as `end`; at rate 0 the plain number `start`, no state."""

    steps: Tensor

    def __init__(self, start: float, rate: float, end: float) -> None:
        super().__init__()
        self.start, self.rate, self.end = start, rate, end
        if rate:
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self) -> float | Tensor:
        if not self.rate:
            return self.start
        value = self.start * (self.rate * self.steps).exp()
        return value.clamp_max(self.end) if self.rate > 0 else value.clamp_min(self.end)

    def step(self) -> None:
        """One training step more."""
        if self.rate:
            self.steps.add_(1)
