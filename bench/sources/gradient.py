"""One gradient draw: parameters, latent, f, estimate, loss. Every source draws gradients with `draw_gradient`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

from ...estimators.contract import Estimate, Estimator, Lower
from ...estimators.latents import Latent, Objective
from ...tasks.contract import Toy
from ...tasks.vae.latent_model import LatentModel
from .timing.clock import Timeline, marked

Parts = tuple[Objective, Callable[[], Tensor | None]]
"""f, and a function that returns the analytic part of the loss [*batch], or None when there is none."""


@dataclass(frozen=True)
class Problem:
    """A loss to differentiate: the latent at given parameters, and the two parts of the loss there.

    The parts depend on the estimator: one of a multi-sample bound takes an energy for f and has no analytic part.
    """

    latent: Callable[[Tensor], Latent]
    parts: Callable[[Estimator, Latent, Sequence[Lower]], Parts]


def toy_problem(toy: Toy) -> Problem:
    """The loss of a toy, at any parameters."""

    def parts(estimator: Estimator, latent: Latent, lower: Sequence[Lower]) -> Parts:
        f, regulariser = toy.loss_parts(estimator, latent, lower)
        return f, lambda: regulariser

    return Problem(toy.latent, parts)


def model_problem(model: LatentModel, x: Tensor) -> Problem:
    """The loss of a model on the minibatch x, at any parameters of its posterior.

    The analytic part is computed only when it is needed.
    """

    def parts(estimator: Estimator, latent: Latent, lower: Sequence[Lower]) -> Parts:
        more: dict[str, Any] = {"stand_in": estimator.stand_in} if model.takes_stand_in else {}
        more |= {"smoothing": estimator} if model.smoothed else {}
        f = model.objective(x, latent, estimator.bound, lower, **more)
        return f, lambda: model.regulariser(latent, estimator.bound)

    return Problem(model.latent, parts)


@dataclass(frozen=True)
class GradientDraw:
    """An estimate at a latent; differentiating `value` or `loss` gives the gradient."""

    latent: Latent
    estimate: Estimate
    regulariser: Callable[[], Tensor | None]

    @property
    def value(self) -> Tensor:
        """The estimate of E_q f, without the analytic part of the loss, [*batch]."""
        return self.estimate.spliced(self.latent)

    @property
    def loss(self) -> Tensor:
        """The value plus the analytic part of the loss, [*batch]."""
        value, regulariser = self.value, self.regulariser()
        return value if regulariser is None else value + regulariser


def draw_gradient(
    problem: Problem,
    estimator: Estimator,
    params: Tensor,
    generator: Generator | None,
    lower: Sequence[Lower] = (),
    watch: Callable[[Objective], Objective] = lambda f: f,
    timeline: Timeline | None = None,
) -> GradientDraw:
    """Draw once at params [*batch, *param_shape]; in train() this also updates the estimator's running state.

    lower: the averages over the stochastic layers inside f, one per layer. watch: wraps f, to count its evaluations or
    to replace it. timeline: marked at the start of the phases `sample`, `gradient` and, inside the latter, `objective`.
    """
    latent = problem.latent(params)
    f, regulariser = problem.parts(estimator, latent, lower)
    f = watch(f)
    if timeline is None:
        return GradientDraw(latent, estimator.estimate(f, latent, generator), regulariser)
    timeline.mark("sample")
    z = estimator.sample(latent, generator)
    timeline.mark("gradient")
    estimate = estimator.gradient(marked(f, timeline), latent, z)
    if estimator.training:
        estimator.update(z, estimate)
    return GradientDraw(latent, estimate, regulariser)
