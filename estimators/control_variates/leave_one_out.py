"""Shared by the leave-one-out control variates of several draws."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backward import leaf_of
from ..latents import Objective


def differentiate(f: Objective, z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) [n, *batch], its graph kept for f's own parameters, and ∇f(z) [n, *batch, *event], detached."""
    with torch.enable_grad():
        leaf = leaf_of(z)
        f_z = f(leaf)
        (slope,) = torch.autograd.grad(f_z.sum(), leaf, retain_graph=True)
    return f_z, slope


def leave_one_out(x: Tensor) -> Tensor:
    """mean_{j≠k} x_j for each k, over the first dimension."""
    return (x.sum(0) - x) / (x.shape[0] - 1)
