"""A candidate of a ranking: an estimator, what was measured of its gradient, and what one draw costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..rows import Quantity
from ..statistics.products import Products
from .budget import COUNTS, Budget
from .error import scale

EXPECTATION = "E f"
"""The objective E_q f; every other objective is ranked for itself."""


@dataclass(frozen=True)
class Candidate:
    """evaluations, differentiations: of f per gradient draw. seconds: per gradient draw, NaN if not measured.

    objective: what its gradient is of; candidates of one objective are compared with each other. noise: names the
    random numbers behind the draws; candidates with the same name and n share them, "" shares with none. Where the
    exact gradient is a mean of draws, these are the same for all candidates. untrusted: why its variance cannot be
    trusted, if so.
    """

    name: str
    products: Products
    evaluations: float
    differentiations: float = 0.0
    seconds: float = float("nan")
    objective: str = EXPECTATION
    noise: str = ""
    untrusted: str = ""

    @cached_property
    def scale(self) -> Quantity:
        """<E g, ∇> / |∇|²: how much of the gradient is along the exact one. The same at every budget, as is `along`."""
        return self.products.quantity(scale(self.products))

    @cached_property
    def along(self) -> Quantity:
        """The bias along the gradient, as a fraction of it: `scale` minus 1."""
        return self.products.quantity(scale(self.products) - 1)

    def cost(self, budget: Budget) -> float:
        """The cost of one gradient draw in the unit of the budget; NaN where it was not measured."""
        if budget.seconds is not None:
            return self.seconds
        return self.evaluations + (self.differentiations if budget.differentiation == COUNTS else 0.0)

    def shares_noise(self, other: Candidate) -> bool:
        """Whether the draws of both come from the same random numbers, block by block."""
        same = (self.products.n, self.products.blocks) == (other.products.n, other.products.blocks)
        return same and bool(self.noise) and self.noise == other.noise
