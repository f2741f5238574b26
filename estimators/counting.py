"""Counting evaluations and differentiations of f on f itself: costs are measured, not taken from the estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .latents import Objective


class _CountBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, counter: CountedObjective) -> Tensor:
        ctx.counter = counter
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        ctx.counter.differentiations += g.shape[0]
        return g, None


@dataclass
class CountedObjective:
    """f, counting its evaluations and differentiations per data point: a call at z [n, *batch, *event] counts n."""

    f: Objective | None = None
    evaluations: int = 0
    differentiations: int = 0

    def watch(self, f: Objective) -> CountedObjective:
        """Count the calls of this f from now on."""
        self.f = f
        return self

    def __call__(self, z: Tensor) -> Tensor:
        assert self.f is not None
        self.evaluations += z.shape[0]
        return self.f(_CountBackward.apply(z, self) if z.requires_grad else z)
