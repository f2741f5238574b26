"""Unusual objectives and modes: an estimator gives the right numbers there, or refuses them in one sentence."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...estimators.names import Unsupported, UsageError
from ...estimators.tuning import Tuner
from .case import Case, Failed, global_generators, gradient_at, require, seeded

BATCH = 3


def objective(case: Case) -> str:
    """An f that changes z in place is refused; one bad value spoils no state; values need no gradient mode."""
    for what, change in IN_PLACE.items():
        _refused(case, f"an f that {what}", change)
    with contextlib.suppress(Unsupported):  # whole numbers have no derivative: whoever needs one refuses them
        _same(case, "whole numbers", lambda value: value.long(), lambda value: value.long().to(value.dtype))
    _same(case, "values in float64", lambda value: value.double(), lambda value: value)
    _unspoilt(case)
    _without_gradients(case)
    return ""


def _assigned(z: Tensor) -> Tensor:
    z[..., 0] = 0.5
    return z


def _without_graph(z: Tensor) -> Tensor:
    z.detach().mul_(2)
    return z


Change = Callable[[Tensor], Tensor]
IN_PLACE: dict[str, Change] = {
    "multiplies z in place": lambda z: z.mul_(2),
    "assigns to a part of z": _assigned,
    "multiplies z in place outside its graph": _without_graph,
}


def _refused(case: Case, what: str, change: Change) -> None:
    latent = case.latent(case.params(BATCH, dtype=torch.float32).requires_grad_())
    f = case.objective(latent)
    for call in (case.fresh(), case.fresh().estimate):
        try:
            call(lambda z: f(change(z)), latent, seeded())
        except UsageError:
            continue
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise Failed(f"given {what}, it raises {problem}, no UsageError") from error
        raise Failed(f"it accepts {what}: estimate() must hand `checked(f, latent)` to gradient()")


def _same(case: Case, what: str, change: Change, as_floats: Change) -> None:
    """Values of another dtype give the gradient of the same values in the dtype of the parameters."""
    found = []
    for of_value in (change, as_floats):
        leaf = case.params(BATCH, dtype=torch.float32).requires_grad_()
        latent = case.latent(leaf)
        f = case.objective(latent)

        def changed(z: Tensor, f: Change = f, of_value: Change = of_value) -> Tensor:
            return of_value(f(z))

        with global_generators(0):
            found.append(gradient_at(leaf, case.fresh()(changed, latent, seeded())))
    require(torch.equal(*found), f"{what} give another gradient than the same numbers in float32")


def _unspoilt(case: Case) -> None:
    """A value of f that is NaN or infinite leaves the running state finite."""
    for bad in (math.nan, math.inf):
        estimator = case.fresh().train()
        latent = case.latent(case.params(BATCH, dtype=torch.float32).requires_grad_())
        f = case.objective(latent)
        factor = torch.tensor([bad] + [1.0] * (BATCH - 1))

        def once_bad(z: Tensor, f: Change = f, factor: Tensor = factor) -> Tensor:
            return f(z) * factor

        estimate = estimator.estimate(once_bad, latent, seeded())
        Tuner(estimator).step(estimate.tuning_loss)
        for key, tensor in estimator.state_dict().items():
            require(tensor.isfinite().all(), f"{key} is not finite after one value of f was {bad}")


def _without_gradients(case: Case) -> None:
    """The value is the same where torch records no gradients."""
    values = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        estimator, params = case.fresh(), case.params(BATCH, dtype=torch.float32)
        f = case.objective(case.latent(params))
        with mode(), global_generators(0):
            values.append(estimator(f, case.latent(params.requires_grad_() + 0), seeded()).detach())
        require(torch.equal(values[0], values[-1]), f"under torch.{mode.__name__} the value is another")
