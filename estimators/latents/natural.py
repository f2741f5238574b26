"""From natural parameters to unconstrained ones: the only place where their values are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Constraint:
    """A condition on a natural parameter, in words and as a test, and the map to its unconstrained value."""

    must_be: str
    holds: Callable[[Tensor], Tensor]
    unconstrain: Callable[[Tensor], Tensor]


def _sums_to_one(p: Tensor) -> Tensor:
    return (p > 0) & ((p.sum(-1, keepdim=True) - 1).abs() <= p.shape[-1] * torch.finfo(p.dtype).eps)


def _is_cholesky(factor: Tensor) -> Tensor:
    positive = factor.diagonal(dim1=-2, dim2=-1).unsqueeze(-1) > 0
    return (factor == factor.tril()) & factor.isfinite() & positive


def _log_diagonal(factor: Tensor) -> Tensor:
    return factor.tril(-1) + factor.diagonal(dim1=-2, dim2=-1).log().diag_embed()


REAL = Constraint("finite", torch.isfinite, lambda x: x)
POSITIVE = Constraint(
    "positive and finite: take exp or softplus of what may be negative", lambda x: (x > 0) & x.isfinite(), torch.log
)
PROBABILITY = Constraint(
    "strictly between 0 and 1: take a sigmoid, or pass logits to the class itself",
    lambda p: (p > 0) & (p < 1),
    torch.logit,
)
SIMPLEX = Constraint(
    "positive and sum to 1 over the last dimension: divide by the sum, or pass logits to the class itself",
    _sums_to_one,
    torch.log,
)
CHOLESKY = Constraint(
    "finite and lower triangular with a positive diagonal: take torch.linalg.cholesky of the covariance",
    _is_cholesky,
    _log_diagonal,
)


def unconstrained(owner: str, constraints: Mapping[str, Constraint], natural: Mapping[str, Any]) -> list[Tensor]:
    """The unconstrained values, in the constraints' order. Raises ValueError if one is missing, unknown or bad."""
    if natural.keys() != constraints.keys():
        raise ValueError(f"{owner}.of takes {', '.join(constraints)}, got {', '.join(natural) or 'nothing'}")
    found = []
    for name, constraint in constraints.items():
        value = torch.as_tensor(natural[name])
        value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        if not constraint.holds(value).all():
            raise ValueError(f"{owner}.of: {name} must be {constraint.must_be}")
        found.append(constraint.unconstrain(value))
    return found
