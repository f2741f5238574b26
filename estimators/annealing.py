"""A hyper-parameter that moves with the training steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .contract import Estimator
from .names import UsageError


class Schedule(nn.Module):
    """start · exp(rate t) after t training steps, as far as `end`; at rate 0 the plain number `start`, no state."""

    steps: Tensor

    def __init__(self, start: float, rate: float, end: float) -> None:
        super().__init__()
        self.start, self.rate, self.end = start, rate, end
        if rate:
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @classmethod
    def falling(cls, estimator: Estimator, name: str) -> Schedule:
        """The hyper-parameter `name`, from its value down to min_`name` at `rate` a step.

        Raises UsageError where it is to fall and starts there already.
        """
        start, rate, end = (getattr(estimator, key) for key in (name, "rate", f"min_{name}"))
        if rate > 0 and start <= end:
            raise UsageError(f"{estimator.name}: {name}={start} cannot fall to min_{name}={end}; start above it")
        return cls(start, -rate, end)

    @classmethod
    def rising(cls, estimator: Estimator, name: str) -> Schedule:
        """The hyper-parameter `name`, from its value up to max_`name` at `rate` a step.

        Raises UsageError where it is to rise and starts there already.
        """
        start, rate, end = (getattr(estimator, key) for key in (name, "rate", f"max_{name}"))
        if rate > 0 and start >= end:
            raise UsageError(f"{estimator.name}: {name}={start} cannot rise to max_{name}={end}; start below it")
        return cls(start, rate, end)

    def forward(self) -> float | Tensor:
        if not self.rate:
            return self.start
        value = self.start * (self.rate * self.steps).exp()
        return value.clamp_max(self.end) if self.rate > 0 else value.clamp_min(self.end)

    def step(self) -> None:
        """One training step more."""
        if self.rate:
            self.steps.add_(1)
