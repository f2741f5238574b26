"""Shared by straight-through estimators: a hard z whose backward pass they define."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Relaxed(NamedTuple):
    """A draw z [1, *batch, *event] and Gumbel-softmax samples given it, along the first dimension; no gradient."""

    hard: Tensor
    soft: Tensor


def pulled_back(z: Tensor, params: Tensor, pullback: Callable[[Tensor], Tensor]) -> Tensor:
    """z [1, *batch, *event], whose backward sends g = pullback(J) to params [*batch, *param_shape], with J = ∂f/∂z."""
    return _PulledBack.apply(z, params, pullback)


class _PulledBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, params: Tensor, pullback: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.pullback = pullback
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, ctx.pullback(gradient).sum(0), None
