"""Configurations that differ from z in a single site, and f at them."""

from __future__ import annotations

import torch
from torch import Tensor

from .discrete import Discrete
from .latent import Objective


def one_replaced(own: Tensor, others: Tensor) -> Tensor:
    """`own` [1, *batch, D] with one site d at a time taken from each of `others` [m, *batch, D]: [m, D, *batch, D]."""
    count = own.shape[-1]
    at_site = torch.eye(count, dtype=torch.bool, device=own.device).view(count, *[1] * (own.dim() - 2), count)
    return torch.where(at_site, others.unsqueeze(1), own)


def every_class(f: Objective, latent: Discrete, own: Tensor) -> Tensor:
    """f_dc = f(z with site d set to class c), [*batch, D, K], z having the classes `own` [1, *batch, D].

    One call of f with z and the D (K - 1) configurations that differ from it in one site.
    """
    count, classes = own.shape[-1], latent.spec.classes
    every = torch.arange(classes, device=own.device)
    others = (own + every[1:].view(-1, *[1] * (own.dim() - 1))) % classes
    f_z = f(latent.from_classes(torch.cat([own, one_replaced(own, others).flatten(0, 1)])))
    f_own = f_z[:1].expand(count, *f_z.shape[1:]).unsqueeze(0)
    f_site = torch.cat([f_own, f_z[1:].unflatten(0, (classes - 1, count))]).movedim((0, 1), (-1, -2))
    return f_site.gather(-1, (every - own[0].unsqueeze(-1)) % classes)
