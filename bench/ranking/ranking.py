"""The ranking: candidates at equal budget, in groups of which no member is clearly worse than the first.

Comparisons are those with the best (Hsu 1984), one-sided at 5 % over all of them (Bonferroni): the truly best candidate
is in the first group with probability .95 or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..rows import Quantity
from ..statistics.intervals import t_quantile
from ..statistics.jackknife import jackknife_variance
from .budget import Budget
from .candidate import EXPECTATION, Candidate
from .error import ROUNDING, root, squared_error

LEVEL = 0.05
NO_BETTER = "no better than no gradient: its part along the gradient is not shown to be positive"
COLUMNS = ("objective", "estimator", "group", "tied", "error", "lo", "hi", "scale_bias", "scale_lo", "scale_hi")
COSTS = ("m", "cost", "more_draws", "reason")


@dataclass(frozen=True)
class Line:
    """One candidate's place. group: 1 for those tied with the best of their objective; 0 for those that win nothing.

    error: left after the best constant, relative to the gradient. scale_bias: <E g, ∇> / |∇|² - 1. m: gradient draws
    that the budget affords. cost: of one, in evaluations of f or seconds. more_draws: how many more draws would
    separate it from the first of its group if the estimated difference is the true one; 0 for the first itself.
    """

    objective: str
    estimator: str
    group: int
    error: Quantity
    scale_bias: Quantity
    m: int
    cost: float
    more_draws: float
    reason: str = ""


@dataclass(frozen=True)
class Ranking:
    """lines: those for E f first, and best first within each objective."""

    budget: Budget
    lines: Sequence[Line]

    @property
    def groups(self) -> list[list[str]]:
        """The groups of E f, the best candidate of each group first."""
        return self.among(EXPECTATION)

    @property
    def best(self) -> str | None:
        """The estimator of E f with the least error; None where none is shown better than no gradient."""
        return self.groups[0][0] if self.groups else None

    @property
    def tied(self) -> list[str]:
        """All that may be the best, the best first."""
        return self.groups[0] if self.groups else []

    def among(self, objective: str) -> list[list[str]]:
        """The groups of one objective."""
        lines = [line for line in self.lines if line.objective == objective and line.group]
        return [[x.estimator for x in lines if x.group == group] for group in sorted({x.group for x in lines})]

    def table(self) -> pd.DataFrame:
        """One line per candidate; tied: whether it ties with the best of its objective."""
        rows = [
            (
                x.objective,
                x.estimator,
                x.group,
                x.group == 1,
                *(x.error.value, x.error.lo, x.error.hi),
                *(x.scale_bias.value, x.scale_bias.lo, x.scale_bias.hi),
                *(x.m, x.cost, x.more_draws, x.reason),
            )
            for x in self.lines
        ]
        return pd.DataFrame(rows, columns=[*COLUMNS, *COSTS])

    def sentence(self) -> str:
        """The answer in one or two plain sentences."""
        first = next((x for x in self.lines if x.objective == EXPECTATION and x.group == 1), None)
        if first is None:
            return f"No estimator is shown to be better than no gradient at {self.budget}."
        error = f"{first.error.value:.3g} [{first.error.lo:.3g}, {first.error.hi:.3g}]"
        text = f"{first.estimator} leaves the least error at {self.budget}: {error} of the gradient."
        ties = [x for x in self.lines if x.objective == EXPECTATION and x.group == 1][1:]
        if not ties:
            return text
        most = max(x.more_draws for x in ties)
        settle = f"; about {most:.2g} more draws would settle it" if most < 1e9 else ""
        names = [x.estimator for x in ties]
        joined = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{text} Too close to call: {joined} tie{'s' * (len(names) == 1)} with it{settle}."


def rank(candidates: Iterable[Candidate], budget: Budget | None = None, level: float = LEVEL) -> Ranking:
    """Rank the candidates of each objective at a budget (default: two evaluations of f per data point).

    level: the probability that the truly best is not in the first group; smaller where one of several rankings decides.
    """
    budget = budget or Budget()
    by_objective: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_objective.setdefault(candidate.objective, []).append(candidate)
    order = sorted(by_objective, key=lambda objective: (objective != EXPECTATION, objective))
    with np.errstate(all="ignore"):  # a stranger's numbers overflow; what is not finite then wins nothing
        lines = [line for objective in order for line in _lines(by_objective[objective], budget, level)]
    return Ranking(budget, lines)


@dataclass(frozen=True)
class _Entrant:
    """A candidate at a budget; squared: its squared error, as `squared_error` gives it."""

    candidate: Candidate
    m: int
    cost: float
    squared: np.ndarray
    reason: str

    @classmethod
    def of(cls, candidate: Candidate, budget: Budget) -> _Entrant:
        cost = candidate.cost(budget)
        m, products = budget.draws(cost), candidate.products
        reason = candidate.untrusted
        if not m:
            unit = "s" if budget.seconds is not None else "evaluations of f"
            known = f"one gradient draw costs {cost:.3g} {unit}, more than the budget"
            reason = "its time was not measured" if math.isnan(cost) else known
        elif not reason and not candidate.scale.lo > 0:
            reason = NO_BETTER
        squared = squared_error(products, max(m, 1))
        if not reason and not np.isfinite(squared).all():
            reason = "its numbers are not finite"
        return cls(candidate, m, cost, squared, reason)

    def is_paired_with(self, other: _Entrant) -> bool:
        """Whether all blocks of both, of draws and of the reference, come from the same random numbers."""
        return self.candidate.shares_noise(other.candidate) and len(self.squared) == len(other.squared)

    def line(self, group: int, more_draws: float) -> Line:
        products = self.candidate.products
        error = root(products.quantity(self.squared)) if self.m else Quantity(math.nan)
        names = (self.candidate.objective, self.candidate.name)
        return Line(*names, group, error, self.candidate.along, self.m, self.cost, more_draws, self.reason)


def _lines(candidates: Sequence[Candidate], budget: Budget, level: float) -> list[Line]:
    entrants = sorted((_Entrant.of(c, budget) for c in candidates), key=lambda e: (bool(e.reason), e.squared[0]))
    rest, lines, group = [e for e in entrants if not e.reason], [], 0
    level /= max(1, len(rest) - 1)
    while rest:
        group += 1
        first, compared = rest[0], _differences(rest[0], rest)
        quantiles = [t_quantile(level, degrees) for _, _, degrees in compared]
        alike = ROUNDING * (ROUNDING + 2 * math.sqrt(max(0.0, first.squared[0])))  # errors within ROUNDING, squared
        ties = [d - t * se <= alike for (d, se, _), t in zip(compared, quantiles, strict=True)]
        for entrant, (d, se, _), t, tied in zip(rest, compared, quantiles, ties, strict=True):
            if tied:
                n = entrant.candidate.products.n
                more = 0.0 if entrant is first else n * max(0.0, (t * se / d) ** 2 - 1) if d > 0 else math.inf
                lines.append(entrant.line(group, more))
        rest = [entrant for entrant, tied in zip(rest, ties, strict=True) if not tied]
    return lines + [entrant.line(0, math.nan) for entrant in entrants if entrant.reason]


def _differences(first: _Entrant, others: Sequence[_Entrant]) -> list[tuple[float, float, int]]:
    """`_difference` of each of the others; of those from the same random numbers together, because they are many."""
    blocks, degrees = first.candidate.products.blocks, first.candidate.products.degrees
    paired = [first.is_paired_with(other) for other in others]
    squared = [other.squared for other, alike in zip(others, paired, strict=True) if alike]
    differences = np.array(squared).reshape(-1, len(first.squared)) - first.squared
    errors = np.sqrt(
        sum(jackknife_variance(part) for part in (differences[:, 1 : 1 + blocks], differences[:, 1 + blocks :]))
    )
    together = iter(zip(differences[:, 0].tolist(), errors.tolist(), strict=True))
    return [
        (*next(together), degrees) if alike else _difference(first, other)
        for other, alike in zip(others, paired, strict=True)
    ]


def _difference(first: _Entrant, other: _Entrant) -> tuple[float, float, int]:
    """How much larger the other's squared error is, with its standard error and degrees of freedom.

    Draws from the same random numbers are paired block by block. So is the reference, which all candidates share.
    """
    one, two = first.candidate.products, other.candidate.products
    (draws, reference), (other_draws, other_reference) = one.left_out(first.squared), two.left_out(other.squared)
    variance = _variance(draws, other_draws, first.candidate.shares_noise(other.candidate))
    variance += _variance(reference, other_reference, len(reference) == len(other_reference))
    return float(other.squared[0] - first.squared[0]), math.sqrt(variance), min(one.degrees, two.degrees)


def _variance(one: np.ndarray, two: np.ndarray, paired: bool) -> float:
    """The variance of the difference of two statistics, from their values with each block left out."""
    return float(jackknife_variance(two - one) if paired else jackknife_variance(one) + jackknife_variance(two))
