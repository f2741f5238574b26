"""A hyper-parameter that changes along training."""

from __future__ import annotations

from torch import Tensor, nn

from .contract import Estimator
from .names import UsageError
from .steps import Steps


class Schedule(nn.Module):
    """start · exp(rate t) after t training steps, stopped at `end`; at rate 0 the number `start`, without state."""

    def __init__(self, start: float, rate: float, end: float) -> None:
        super().__init__()
        self.start, self.rate, self.end = start, rate, end
        if rate:
            self.steps = Steps()

    @classmethod
    def falling(cls, estimator: Estimator, name: str) -> Schedule:
        """The hyper-parameter `name`, falling from its value to min_`name` at `rate` per step.

        Raises UsageError if it is to fall but does not start above its minimum.
        """
        start, rate, end = (getattr(estimator, key) for key in (name, "rate", f"min_{name}"))
        if rate > 0 and start <= end:
            raise UsageError(f"{estimator.name}: {name}={start} cannot fall to min_{name}={end}; start above it")
        return cls(start, -rate, end)

    @classmethod
    def rising(cls, estimator: Estimator, name: str) -> Schedule:
        """The hyper-parameter `name`, rising from its value to max_`name` at `rate` per step.

        Raises UsageError if it is to rise but does not start below its maximum.
        """
        start, rate, end = (getattr(estimator, key) for key in (name, "rate", f"max_{name}"))
        if rate > 0 and start >= end:
            raise UsageError(f"{estimator.name}: {name}={start} cannot rise to max_{name}={end}; start below it")
        return cls(start, rate, end)

    def forward(self) -> float | Tensor:
        if not self.rate:
            return self.start
        value = self.start * (self.rate * self.steps()).exp()
        return value.clamp_max(self.end) if self.rate > 0 else value.clamp_min(self.end)

    def count(self) -> None:
        """Count one call in train()."""
        if self.rate:
            self.steps.call()
