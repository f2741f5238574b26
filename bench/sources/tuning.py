"""Tuning an estimator at fixed parameters of q, before its gradient is drawn there."""

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
    """Update running state and the estimator's own parameters, at params [*batch, *param_shape], for `steps` draws.

    Its own parameters minimise `tuning_loss`, the loss of the control variate's parameters, through `Tuner`. The
    estimator is left in train(). Returns the number of steps: 0 when the estimator has neither parameters nor buffers.
    """
    if not any(True for _ in (*estimator.parameters(), *estimator.buffers())):
        return 0
    tuner = Tuner(estimator, RATE)
    estimator.train()
    for _ in range(steps):
        tuner.step(draw_gradient(problem, estimator, params, generator, lower).estimate.tuning_loss)
    return steps
