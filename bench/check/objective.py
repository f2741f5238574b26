"""An f that no estimator can serve as it is written: refused in one sentence, or served right."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...estimators.names import UsageError
from .case import Case, Failed, seeded


def objective(case: Case) -> str:
    """An f that changes z in place is refused: z is what the gradient is made of."""
    for what, change in IN_PLACE.items():
        _refused(case, what, change)
    return ""


def _assigned(z: Tensor) -> Tensor:
    z[..., 0] = 0.5
    return z


def _without_graph(z: Tensor) -> Tensor:
    z.detach().mul_(2)
    return z


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "multiplies z in place": lambda z: z.mul_(2),
    "assigns to a part of z": _assigned,
    "multiplies z in place outside its graph": _without_graph,
}


def _refused(case: Case, what: str, change: Callable[[Tensor], Tensor]) -> None:
    latent = case.latent(case.params(3, dtype=torch.float32).requires_grad_())
    f = case.objective(latent)
    for call in (case.fresh(), case.fresh().estimate):
        try:
            call(lambda z: f(change(z)), latent, seeded())
        except UsageError:
            continue
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise Failed(f"given an f that {what}, it raises {problem}, no UsageError") from error
        raise Failed(f"it accepts an f that {what}: estimate() must hand `checked(f, latent)` to gradient()")
