"""Checks of the inputs of an estimator: the latent, and each value of f.

They concern shapes, types and specs only, which the host knows, so that none waits for the device. Whether numbers are
finite is checked elsewhere (`Latent.validate`, the statistics).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from .latents import Latent, LatentSpec, Objective
from .names import Unsupported, UsageError

IN_PLACE = "f must leave its z as it is, which the gradient needs: write z = 2 * z in place of z.mul_(2) or z *= 2"

WITHOUT_GRADIENT = (
    "this estimator differentiates f in z, but the value of f does not depend on z differentiably (it is constant, "
    "whole numbers or detached): make f differentiable, or take an estimator that only evaluates it, such as rloo"
)
MOST = 2**28
"""1 GiB in float32."""
SETTLE = (
    "Put its model into eval() if it has dropout or batch norm; bias and variance are now those of the estimator and "
    "of f together"
)
OF_TORCH_IN_PLACE = ("in-place operation", "modified inplace", "written-to tensor")
"""Torch's words where it refuses to change z in place: a leaf, an expanded tensor, the output of a Function."""


def check_latent(name: str, own: LatentSpec, latent: Any) -> None:
    """Raises UsageError unless the latent has the spec that the estimator of this name was made for.

    It is not Unsupported, which a run records and skips: the estimator may well support such a latent, but this call is
    wrong.
    """
    spec = getattr(latent, "spec", None)
    if spec is own or spec == own:
        return
    if not isinstance(latent, Latent):
        given = type(latent).__name__
        raise UsageError(f"{name} takes a latent, such as Bernoulli(logits), not a {given}")
    raise UsageError(
        f"this {name} was made for {_described(own)}, not for {_described(latent.spec)}: make another one "
        f'for this latent, estimator("{name}", latent.spec)'
    )


def checked(f: Objective, latent: Latent) -> Objective:
    """f with its values checked: one per z, [n, *batch], converted to the dtype that the estimator computes in.

    f sees z in the dtype of the parameters given. It raises UsageError for a value of any other shape, since a scalar
    would broadcast, and minus a baseline made of itself give a gradient of 0; and if f changes z in place, unless
    through z.data or numpy, which keep no count of changes. It raises Unsupported for a value without a gradient where
    the estimator differentiates f.
    """
    event_dims, given, own = len(latent.spec.event_shape), latent.dtype, latent.params.dtype

    # Tensors of inference mode keep no count of changes, and a compiled graph would break at the comparison.
    counts = not (is_compiling() or torch.is_inference_mode_enabled())

    def objective(z: Tensor) -> Tensor:
        seen = z if given is own else z.to(given)
        version = seen._version if counts else None
        try:
            value = f(seen)
        except RuntimeError as error:
            if any(words in str(error) for words in OF_TORCH_IN_PLACE):
                raise UsageError(f"{IN_PLACE} ({error})") from error
            raise
        if version is not None and seen._version != version:
            raise UsageError(IN_PLACE)
        if not (isinstance(value, Tensor) and value.shape == z.shape[:-event_dims] and value.dtype is own):
            value = _convertible(value, z, z.shape[:-event_dims]).to(own)
        if z.requires_grad and not value.requires_grad and torch.is_grad_enabled():
            raise Unsupported(WITHOUT_GRADIENT)
        return value

    return objective


@torch.no_grad()
def unsettled(f: Objective, latent: Latent) -> str:
    """Why f is not a function of each z alone, in one sentence, or "" if nothing shows it.

    f is evaluated at four draws, twice and at two of them: dropout draws anew, batch norm averages over all.
    """
    z = latent.sample(4, torch.Generator(latent.params.device).manual_seed(0))
    f = checked(f, latent)
    first, again, few = f(z), f(z), f(z[:2])
    close = partial(torch.allclose, rtol=torch.finfo(first.dtype).eps ** 0.5, equal_nan=True)
    if not close(first, again):
        return f"f is random: two evaluations at the same z differ. {SETTLE}"
    return "" if close(first[:2], few) else f"f mixes draws: its value at one z depends on the others. {SETTLE}"


def _convertible(value: Any, z: Tensor, wanted: torch.Size) -> Tensor:
    """A value of another dtype, to be converted. Raises UsageError unless it is a tensor of the wanted shape."""
    if not isinstance(value, Tensor):
        raise UsageError(
            f"f must return a tensor {list(wanted)}, one number per z, not a {type(value).__name__}: "
            "make it one with torch.as_tensor"
        )
    if value.shape != wanted:
        raise UsageError(
            f"f must return one number per z, here {list(wanted)} for z of shape {list(z.shape)}, not "
            f'{list(value.shape)}: sum over the event dimensions only, and give a torch loss reduction="none"'
        )
    return value


def check_room(name: str, spec: LatentSpec, numbers: int, instead: str) -> None:
    """Raises Unsupported if an estimator holds more than MOST numbers at once for each data point."""
    if numbers > MOST:
        size = f"{4 * numbers / 2**30:.1f} GiB in float32"
        raise Unsupported(f"{name} on {spec} needs {size} for each data point, since it grows as K³: take {instead}")


def out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def memory_hint(name: str, evaluations: int, latent: Latent) -> str:
    """What the memory of an estimator goes into, in one sentence."""
    points, event = latent.batch_shape.numel(), math.prod(latent.spec.event_shape)
    return (
        f"{name} evaluates f at {evaluations} z of {event} numbers for each of {points} data points: "
        "take a smaller batch, a smaller latent, or an estimator with fewer evaluations"
    )


def _described(spec: LatentSpec) -> str:
    return f"{spec} of {spec.codes} codes" if spec.codes else str(spec)
