"""How many gradient draws a budget affords."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...estimators.names import UsageError

COUNTS, FREE = "counts", "free"

MOST_DRAWS = 10**12
"""Beyond it a gradient has no noise left; a stranger's cost can be next to nothing."""


@dataclass(frozen=True)
class Budget:
    """What one step may spend per data point: evaluations of f or, if given, seconds.

    differentiation: "counts" where f is only evaluated, so that a differentiation of f costs as much as one more
    evaluation; "free" where the parameters of f are trained anyway, as a VAE's decoder, so that f is differentiated in
    any case. It does not matter for a budget in seconds. Raises UsageError for anything else.
    """

    evaluations: float = 2.0
    seconds: float | None = None
    differentiation: str = COUNTS

    def __post_init__(self) -> None:
        if self.differentiation not in (COUNTS, FREE):
            raise UsageError(f"differentiation is {COUNTS!r} or {FREE!r}, not {self.differentiation!r}")
        if not (self.evaluations if self.seconds is None else self.seconds) > 0:
            raise UsageError("a budget must be positive")

    def draws(self, cost: float) -> int:
        """How many whole draws of that cost it affords; 0 where the cost is not known."""
        total = self.evaluations if self.seconds is None else self.seconds
        if math.isnan(cost):
            return 0
        if cost <= 0:
            return 1  # no evaluation of f: one draw has it all
        return math.floor(min(total / cost * (1 + 1e-9), MOST_DRAWS))

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:.3g} s per step"
        calls = f"{self.evaluations:g} evaluation{'s' * (self.evaluations != 1)} of f"
        return calls + (", differentiations included" if self.differentiation == COUNTS else ", differentiation free")
