"""Shared by straight-through estimators: a hard z whose backward pass they define."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..backward import Pull, attach


class Relaxed(NamedTuple):
    """A draw z [1, *batch, *event] and Gumbel-softmax samples given it, along the first dimension; no gradient."""

    hard: Tensor
    soft: Tensor


def pulled_back(z: Tensor, params: Tensor, pullback: Pull, *tensors: Tensor) -> Tensor:
    """z [1, *batch, *event], whose backward sends g = pullback(J, *tensors) to params [*batch, *param_shape], with
    J = ∂f/∂z. Every tensor that `pullback` uses must be among `tensors`.
    """
    return attach(z, params, lambda j, *used: pullback(j, *used).sum(0), *tensors)
