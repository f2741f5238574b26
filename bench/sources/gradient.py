"""One draw of a gradient: parameters, latent, f, estimate, loss. Every source draws by this function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from ...estimators.contract import Estimate, Estimator, Lower
from ...estimators.latents import Latent, Objective
from ...tasks.contract import Toy
from ...tasks.vae.latent_model import LatentModel
from .timing.clock import Timeline, marked


@dataclass(frozen=True)
class Problem:
    """What a gradient is of: the latent at given parameters, f, and the analytic part of the loss, if any.

    The last two depend on whether the estimator is of a bound, which takes an energy for f and has no analytic part.
    """

    latent: Callable[[Tensor], Latent]
    objective: Callable[[Estimator, Latent, Sequence[Lower]], Objective]
    regulariser: Callable[[Estimator, Latent], Tensor | None]


def toy_problem(toy: Toy) -> Problem:
    """A toy at any parameters."""
    return Problem(toy.latent, toy.objective_of, toy.regulariser_of)


def model_problem(model: LatentModel, x: Tensor) -> Problem:
    """A model's loss on the minibatch x, at any parameters of its posterior."""
    return Problem(
        model.latent,
        lambda estimator, latent, lower: model.objective(x, latent, estimator.bound, lower),
        lambda estimator, latent: model.regulariser(latent, estimator.bound),
    )


@dataclass(frozen=True)
class GradientDraw:
    """An estimate at a latent; differentiating `value` or `loss` gives the gradient."""

    problem: Problem
    estimator: Estimator
    latent: Latent
    estimate: Estimate

    @property
    def value(self) -> Tensor:
        """The estimate of E_q f, without the analytic part of the loss, [*batch]."""
        return self.estimate.spliced(self.latent)

    @property
    def loss(self) -> Tensor:
        """With the analytic part, [*batch]."""
        value, regulariser = self.value, self.problem.regulariser(self.estimator, self.latent)
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
    """Draw once at params [*batch, *param_shape]; the estimator's running state moves in train().

    lower: averages the stochastic layers inside f. watch: what counts or replaces f. timeline: marked at the start of
    the phases `sample`, `gradient` and, inside the latter, `objective`.
    """
    latent = problem.latent(params)
    f = watch(problem.objective(estimator, latent, lower))
    if timeline is None:
        return GradientDraw(problem, estimator, latent, estimator.estimate(f, latent, generator))
    timeline.mark("sample")
    z = estimator.sample(latent, generator)
    timeline.mark("gradient")
    estimate = estimator.gradient(marked(f, timeline), latent, z)
    if estimator.training:
        estimator.update(z, estimate)
    return GradientDraw(problem, estimator, latent, estimate)
