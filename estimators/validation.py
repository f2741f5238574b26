"""Checks of the inputs of an estimator: the latent, and each value of f.

They concern shapes, types and specs only, which the host knows, so that none waits for the device. Whether numbers are
finite is checked elsewhere (`Latent.validate`, the statistics).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .latents import Latent, LatentSpec, Objective
from .names import UsageError


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

    f sees z in the dtype of the parameters given. It raises UsageError for a value of any other shape. A scalar would
    broadcast, and minus a baseline made of itself give a gradient of 0.
    """
    event_dims, given, own = len(latent.spec.event_shape), latent.dtype, latent.params.dtype

    def objective(z: Tensor) -> Tensor:
        value = f(z if given is own else z.to(given))
        if isinstance(value, Tensor) and value.shape == z.shape[:-event_dims] and value.dtype is own:
            return value
        return _convertible(value, z, z.shape[:-event_dims]).to(own)

    return objective


def _convertible(value: Any, z: Tensor, wanted: torch.Size) -> Tensor:
    """A value that is not floating, to be converted. Raises UsageError unless it is a tensor of the wanted shape."""
    if not isinstance(value, Tensor):
        raise UsageError(f"f must return a tensor, not a {type(value).__name__}")
    if value.shape != wanted:
        raise UsageError(
            f"f must return one number per z, here {list(wanted)} for z of shape {list(z.shape)}, not "
            f'{list(value.shape)}: sum over the event dimensions only, and give a torch loss reduction="none"'
        )
    return value


def _described(spec: LatentSpec) -> str:
    return f"{spec} of {spec.codes} codes" if spec.codes else str(spec)
