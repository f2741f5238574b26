"""Types, shapes and extremes: for any batch and dtype, finite numbers of the same shape and type."""

from __future__ import annotations

import torch
from torch import Tensor

from .case import Answer, Case, answer, global_generators, gradient_at, require, seeded, worst

DTYPES = (torch.float32, torch.float64)
HALF = (torch.float16, torch.bfloat16)
DRAWN = 2000
"""Replicates that tell noise in half precision from noise in float32: they differ in one of some 500 numbers."""
BATCHES = ((), (5,), (2, 3), (2, 1, 3), (0,), (2, 0))
EXTREME = dict.fromkeys(("bernoulli", "categorical", "subset", "encodings", "sequence"), 50.0) | {"continuous": 20.0}
"""For a continuous latent, small enough that the squares of f at z of order exp(20) are finite in float32."""


def dtypes(case: Case) -> str:
    """float32 and float64 are kept, with finite numbers at extreme parameters; half precision draws in float32."""
    for dtype in DTYPES:
        for train in (False, True):
            estimator = case.fresh(dtype).train(train)
            found = answer(case, estimator, case.params(6, dtype=dtype))
            _typed(found, dtype)
            for params in _extremes(case, dtype):
                found = answer(case, estimator, params)
                where = f"at parameters of ±{EXTREME[case.kind]:.0f} in {dtype}, {'train' if train else 'eval'}()"
                for what, tensor in found.tensors:
                    require(tensor.isfinite().all(), f"the {what} is not finite {where}")
                if found.estimate.tuning_loss is not None:
                    require(found.estimate.tuning_loss.isfinite(), f"the tuning loss is not finite {where}")
    for dtype in HALF:
        _drawn_in_float32(case, dtype)
    return ""


def _typed(found: Answer, dtype: torch.dtype) -> None:
    grad = found.estimate.grad
    for what, tensor in (*found.tensors, *([] if grad is None else [("grad", grad)])):
        require(tensor.dtype == dtype, f"the {what} is in {tensor.dtype} where the parameters are in {dtype}")
    require(grad is None or not grad.requires_grad, "grad is not detached")


def _drawn_in_float32(case: Case, dtype: torch.dtype) -> None:
    """At parameters in half precision f sees the z of the same parameters in float32, in its own dtype."""
    params = case.params(DRAWN, dtype=dtype)
    (low, loss), (full, _) = _seen(case, params), _seen(case, params.float())
    require(loss.dtype == torch.float32, f"the value is in {loss.dtype} where the parameters are in {dtype}")
    require(
        loss.isfinite().all() and len(low) == len(full) and all(map(torch.equal, low, (z.to(dtype) for z in full))),
        f"at parameters in {dtype}, f is not given the z of float32: draw in the dtype of latent.params",
    )


def _seen(case: Case, params: Tensor) -> tuple[list[Tensor], Tensor]:
    """Every z that f is given, and the value [*batch]."""
    leaf, seen = params.detach().requires_grad_(), []
    latent = case.latent(leaf)
    f = case.objective(latent)

    def recorded(z: Tensor) -> Tensor:
        seen.append(z.detach().clone())
        return f(z)

    with global_generators(0):
        loss = case.fresh()(recorded, latent, seeded())
    require(gradient_at(leaf, loss).isfinite().all(), f"the gradient is not finite at parameters in {params.dtype}")
    return seen, loss.detach()


def _extremes(case: Case, dtype: torch.dtype) -> list[Tensor]:
    """Signs mixed, all equal, and beside parameters of ordinary size."""
    extreme = EXTREME[case.kind]
    ordinary = case.params(64, dtype=dtype)
    mixed = extreme * ordinary.sign()
    chosen = torch.rand(ordinary.shape, generator=seeded(5)) < 0.5
    return [
        mixed,
        torch.full_like(mixed, extreme),
        torch.full_like(mixed, -extreme),
        torch.where(chosen, mixed, ordinary),
    ]


def shapes(case: Case) -> str:
    """Batches of zero to three dimensions, empty ones too; parameters need not be contiguous."""
    for train in (False, True):
        estimator = case.fresh(torch.float64).train(train)
        for batch in BATCHES:
            params = case.params(*batch)
            found = answer(case, estimator, params)
            value, grad = found.value, found.estimate.grad
            at = params if found.estimate.at is None else found.estimate.at
            require(value.shape == batch, f"the value has shape {tuple(value.shape)} where the batch is {batch}")
            require(
                grad is None or grad.shape == at.shape,
                f"grad has shape {tuple(() if grad is None else grad.shape)} where params have {tuple(at.shape)}",
            )
    estimator, params = case.tuned(), case.params(3)
    strided = params.mT.contiguous().mT
    pairs = zip(answer(case, estimator, params).tensors, answer(case, estimator, strided).tensors, strict=True)
    for (what, expected), (_, found_strided) in pairs:
        off = worst(found_strided, expected)
        require(off <= 1e-10 * (1 + float(expected.abs().max())), f"non-contiguous parameters change the {what}")
    return ""
