"""The estimators that a race begins with: those that apply to the problem and that the budget affords."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...estimators.contract import Unsupported
from ...estimators.costs import documented
from ...estimators.names import UsageError
from ..ranking.budget import COUNTS, Budget
from ..ranking.candidate import EXPECTATION
from ..ranking.stored import objective
from .given import Asked, Given, Make, makers

SIZES = (
    "rloo:n={4,8,16}",
    "arms:n={2,8}",
    "carms:n={2,8}",
    "double-cv:n=4",
    "rodeo:n=4",
    "unordered-set:k={2,8}",
    "sum-and-sample:k=2",
    "pathwise:n=4",
)
"""Sizes beside the defaults of the estimators that have one."""


@dataclass(frozen=True)
class Entrant:
    """An estimator in a race. make: builds it for the latent. evaluations, differentiations: of f per gradient draw.

    draws: how many gradient draws the budget affords. tuned: whether it has parameters of its own.
    """

    name: str
    make: Make
    evaluations: int
    differentiations: int
    draws: int
    tuned: bool


def entrants(asked: Asked | Iterable[Asked] | None, task: Given, budget: Budget) -> list[Entrant]:
    """The estimators of E f that apply and that the budget affords.

    asked: as for `measure`; None stands for all and for several sizes. Raises UsageError if none is left.
    """
    found, _ = makers(["all", *SIZES] if asked is None else asked, task)
    kept: list[Entrant] = []
    for name, make in found.items():
        try:
            top = make().top
        except Unsupported:
            continue
        evaluations, differentiations = documented(top)
        draws = budget.draws(evaluations + (differentiations if budget.differentiation == COUNTS else 0))
        if draws and not top.bound and objective(name, top.claim().target) == EXPECTATION:
            kept.append(Entrant(name, make, evaluations, differentiations, draws, any(True for _ in top.parameters())))
    if not kept:
        raise UsageError(f"no estimator for {task.given!r} and this f costs at most {budget}: give more calls")
    return kept
