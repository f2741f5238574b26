"""Products of many polynomials at once, coefficients first, [degree + 1, *shape].

A product and the correlation are each other's derivative, so that both can be differentiated any number of times. They
loop over the coefficients of one factor: one pass over contiguous memory each, without a table of all pairs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor, degree: int) -> Tensor:
    """The coefficients 0 to `degree` of a b: c_m = Σ_i a_i b_{m-i}, [degree + 1, *shape]; differentiable."""
    return _Product.apply(a, b, degree)


def correlation(a: Tensor, b: Tensor, degree: int) -> Tensor:
    """c_m = Σ_i a_{m+i} b_i for m = 0 to `degree`, [degree + 1, *shape]; differentiable."""
    return _Correlation.apply(a, b, degree)


def _batched(operation: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
    """The rule of torch.func.vmap: what is batched is one more trailing dimension."""
    pairs = list(zip(arguments[:2], in_dims[:2], strict=True))
    moved = [x.unsqueeze(-1) if dim is None else x.movedim(dim, -1) for x, dim in pairs]
    return operation(*moved, arguments[2]), -1


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, degree: int) -> Tensor:
        shape = torch.broadcast_shapes(a.shape[1:], b.shape[1:])
        c = a.new_zeros(degree + 1, *shape)
        for i in range(min(len(a), degree + 1)):
            fit = b[: degree + 1 - i]
            c[i : i + len(fit)].addcmul_(fit, a[i])
        return c

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b = ctx.saved_tensors
        return correlation(g, b, len(a) - 1), correlation(g, a, len(b) - 1), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        return _batched(product, in_dims, *arguments)


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, degree: int) -> Tensor:
        shape = torch.broadcast_shapes(a.shape[1:], b.shape[1:])
        c = a.new_zeros(degree + 1, *shape)
        for i in range(min(len(b), len(a))):
            fit = a[i : i + degree + 1]
            c[: len(fit)].addcmul_(fit, b[i])
        return c

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b = ctx.saved_tensors
        return product(g, b, len(a) - 1), correlation(a, g, len(b) - 1), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        return _batched(correlation, in_dims, *arguments)
