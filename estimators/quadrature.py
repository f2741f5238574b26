"""E f(ζ) by quadrature where ζ is made of bits one by one: the exact objective of a relaxation of a few bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from .latents import Bernoulli, Discrete, Objective

NODES, RANGE = 57, 3.1
MOST_POINTS = 2**21

Smoothed = Callable[[int, Tensor], Tensor]
"""ζ_d given the bit z_d (0 or 1) and a uniform s_d of its own, [n, *batch, D] in and out; each bit by itself."""


def smoothed_expectation(
    f: Objective, latent: Discrete, smoothed: Smoothed, breaks: tuple[float, ...] = ()
) -> Tensor | None:
    """E f(ζ) with z_d ~ Bernoulli(p_d), s_d ~ U(0, 1) and ζ_d = smoothed(z_d, s_d), [*batch].

    Σ over all combinations of bits and nodes of Π_d q(z_d) w(s_d) f(ζ), differentiable in all that f, p and ζ depend
    on; None above MOST_POINTS of them: 3 bits without breaks. Splitting at the bit removes the jump or kink at
    ε = 1 - p; the nodes crowd at both ends of s, where roots are singular and large β and small τ steep. breaks: where
    else ζ_d jumps in s_d.
    """
    bits, p = latent.spec.event_shape[0], latent.probs
    s, weight = (x.view(-1, *[1] * p.dim()).expand(-1, *p.shape) for x in nodes(p, breaks))
    if not isinstance(latent, Bernoulli) or (2 * len(s)) ** bits > MOST_POINTS:
        return None
    zeta = torch.cat([smoothed(0, s), smoothed(1, s)])
    weight = torch.cat([(1 - p) * weight, p * weight])
    index = torch.cartesian_prod(*[torch.arange(len(zeta), device=p.device)] * bits).view(-1, bits).unbind(-1)
    points = torch.stack([zeta[i, ..., d] for d, i in enumerate(index)], -1)
    product = torch.stack([weight[i, ..., d] for d, i in enumerate(index)], -1).prod(-1)
    return (product * f(points)).sum(0)


def uniform_of_bit(z: int, s: Tensor, p: Tensor) -> Tensor:
    """ε ~ U(0, 1) given z = 1[ε ≥ 1 - p], from s ~ U(0, 1): (1 - p) s or 1 - p + p s; never 0 or 1."""
    eps = 1 - p * (1 - s) if z else (1 - p) * s
    tiny = torch.finfo(s.dtype).eps / 4
    return eps.clamp(tiny, 1 - 2 * tiny)


def nodes(like: Tensor, breaks: tuple[float, ...] = ()) -> tuple[Tensor, Tensor]:
    """Nodes in (0, 1) and weights of ∫ g(s) ds: the tanh-sinh rule, trapezoids in t after s = σ(π sinh t), |t| ≤ RANGE.

    It takes each end, and whatever root is there, to infinity (Takahasi & Mori 1974). NODES on each side of a break.
    """
    t = torch.linspace(-RANGE, RANGE, NODES, device=like.device, dtype=like.dtype)
    s = (math.pi * t.sinh()).sigmoid().clamp_max(1 - torch.finfo(like.dtype).eps / 2)
    weight = t.cosh() * s * s.flip(0)
    weight = weight / weight.sum()
    pieces = list(pairwise((0.0, *breaks, 1.0)))
    return (
        torch.cat([start + (end - start) * s for start, end in pieces]),
        torch.cat([(end - start) * weight for start, end in pieces]),
    )
