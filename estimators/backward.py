"""Gradients that estimators write out themselves, under autograd, torch.func, torch.compile and checkpointing.

They are right to first order only: ∇ log q enters them as a number. A second derivative through one raises UsageError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .names import UsageError

Pull = Callable[..., Tensor]
"""The gradient at x and further tensors -> the gradient sent to params; linear in the first."""

ONCE = (
    "the loss of an estimator has first derivatives in reverse mode only, because its gradient is an estimate: take no "
    "Hessian, forward-mode derivative or create_graph=True penalty through it"
)


def attach(x: Tensor, params: Tensor, pull: Pull, *tensors: Tensor, twice: bool = False) -> Tensor:
    """x, whose backward sends its gradient g on to x, and pull(g, *tensors), shaped as params, to params.

    Every tensor that `pull` uses must be among `tensors`, so that torch.func.vmap can batch it. twice: differentiate g
    further and hold the tensors constant, instead of raising UsageError: for tuning losses, which may be approximate.
    """
    if not transformed():
        return _Attached.apply(x, params, pull, twice, *tensors)
    if not torch.compiler.is_compiling():
        return _Transformed.apply(x, params, pull, twice, *tensors)
    # torch.compile drops a custom Function inside torch.func.grad, so that its gradient would be 0. This form has the
    # same gradient; nan_to_num keeps parameters of -inf from giving inf - inf.
    finite = params.nan_to_num()
    transposed = torch.func.vjp(lambda g: pull(g, *tensors), torch.zeros_like(x))[1]
    return x + transposed(finite - finite.detach())[0]


def transformed() -> bool:
    """Whether the call runs inside a transform of torch.func, such as grad or vmap."""
    return torch._C._are_functorch_transforms_active()


def recomputing() -> bool:
    """Whether the call runs inside a backward pass: torch.utils.checkpoint is computing a forward pass anew."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def leaf_of(tensor: Tensor) -> Tensor:
    """A detached copy to differentiate in, within an estimator. Raises UsageError inside a transform of torch.func."""
    refuse_transforms()
    return tensor.detach().requires_grad_()


def refuse_transforms() -> None:
    """Raises UsageError inside a transform of torch.func."""
    if transformed():
        raise UsageError(
            "this estimator calls autograd itself, which torch.func (grad, vmap) cannot transform: use loss.backward() "
            "or torch.autograd.grad"
        )


def once(gradient: Tensor, params: Tensor) -> Tensor:
    """The gradient; differentiating it raises UsageError. Call it in a backward pass."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return gradient
    return _Once.apply(gradient, params)


class _Once(torch.autograd.Function):
    """It depends on params as well, because the gradient itself may not require a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, params: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        raise UsageError(ONCE)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        raise UsageError(ONCE)


class _Attached(torch.autograd.Function):
    """Tensors are attributes of ctx, not saved: checkpointing must not replace them by those of another state."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, params: Tensor, pull: Pull, twice: bool, *tensors: Tensor) -> Tensor:
        ctx.params, ctx.pull, ctx.twice, ctx.tensors = params, pull, twice, tensors
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        sent = ctx.pull(g, *ctx.tensors)
        return g, sent if ctx.twice else once(sent, ctx.params), None, None, *[None] * len(ctx.tensors)


class _Transformed(torch.autograd.Function):
    """_Attached in the form that torch.func needs. Its apply takes 15 µs longer."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, params: Tensor, pull: Pull, twice: bool, *tensors: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, params, ctx.pull, ctx.twice, *tensors = inputs
        ctx.save_for_backward(params, *tensors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        params, *tensors = ctx.saved_tensors
        sent = ctx.pull(g, *tensors)
        return g, sent if ctx.twice else once(sent, params), None, None, *[None] * len(tensors)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        raise UsageError(ONCE)
