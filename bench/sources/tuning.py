"""Tuning an estimator at frozen parameters, before its gradient is drawn there."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor

from ...estimators.contract import Estimator, Lower
from ...estimators.tuning import Tuner
from .gradient import Problem, draw_gradient

RATE = 1e-2


def tune(
    problem: Problem,
    estimator: Estimator,
    params: Tensor,
    steps: int,
    generator: Generator | None,
    lower: Sequence[Lower] = (),
) -> int:
    """Move running state and tuned parameters in train(); returns the steps made, 0 where there is nothing to move."""
    if not any(True for _ in (*estimator.parameters(), *estimator.buffers())):
        return 0
    tuner = Tuner(estimator, RATE)
    estimator.train()
    for _ in range(steps):
        tuner.step(draw_gradient(problem, estimator, params, generator, lower).estimate.tuning_loss)
    return steps
