"""A latent as independent sites of classes: a bit is a site of two classes, 0 and 1, with logits (0, φ)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .latent import Discrete, Objective


def log_probs(latent: Discrete) -> Tensor:
    """log π of every class of every site, detached, [*batch, D, K]."""
    logits = latent.params.detach()
    if latent.spec.kind == "bernoulli":
        return torch.stack([logsigmoid(-logits), logsigmoid(logits)], -1)
    return logits.log_softmax(-1)


def shape(latent: Discrete) -> torch.Size:
    """[*batch, D]."""
    return latent.params.shape if latent.spec.kind == "bernoulli" else latent.params.shape[:-1]


def inverse_cdf(latent: Discrete, u: Tensor) -> Tensor:
    """The class c of every site with u in [Σ_{i<c} π_i, Σ_{i≤c} π_i), [n, *batch, D] as u."""
    cdf = log_probs(latent).exp().cumsum(-1)
    return (u.unsqueeze(-1) >= cdf[..., :-1]).sum(-1)


def classes(latent: Discrete, z: Tensor) -> Tensor:
    """The class of every site of z [n, *batch, *event], [n, *batch, D]."""
    return z.long() if latent.spec.kind == "bernoulli" else z.argmax(-1)


def configurations(latent: Discrete, classes: Tensor) -> Tensor:
    """z [n, *batch, *event] from the class of every site [n, *batch, D]."""
    if latent.spec.kind == "bernoulli":
        return classes.to(latent.params.dtype)
    every = torch.arange(latent.spec.event_shape[-1], device=classes.device)
    return (classes.unsqueeze(-1) == every).to(latent.params.dtype)


def one_replaced(own: Tensor, others: Tensor) -> Tensor:
    """`own` [1, *batch, D] with one site d at a time taken from each of `others` [m, *batch, D]: [m, D, *batch, D]."""
    count = own.shape[-1]
    at_site = torch.eye(count, dtype=torch.bool, device=own.device).view(count, *[1] * (own.dim() - 2), count)
    return torch.where(at_site, others.unsqueeze(1), own)


def every_class(f: Objective, latent: Discrete, own: Tensor) -> Tensor:
    """f_dc = f(z with site d set to class c), [*batch, D, K], z having the classes `own` [1, *batch, D].

    One call of f with z and the D (K - 1) configurations that differ from it in one site.
    """
    count, classes = own.shape[-1], 2 if latent.spec.kind == "bernoulli" else latent.spec.event_shape[-1]
    every = torch.arange(classes, device=own.device)
    others = (own + every[1:].view(-1, *[1] * (own.dim() - 1))) % classes
    f_z = f(configurations(latent, torch.cat([own, one_replaced(own, others).flatten(0, 1)])))
    f_own = f_z[:1].expand(count, *f_z.shape[1:]).unsqueeze(0)
    f_site = torch.cat([f_own, f_z[1:].unflatten(0, (classes - 1, count))]).movedim((0, 1), (-1, -2))
    return f_site.gather(-1, (every - own[0].unsqueeze(-1)) % classes)


def at_params(latent: Discrete, gradient: Tensor) -> Tensor:
    """A gradient in the logits of all classes [*batch, D, K] at the latent's own parameters [*batch, *param_shape]."""
    return gradient[..., 1] if latent.spec.kind == "bernoulli" else gradient
