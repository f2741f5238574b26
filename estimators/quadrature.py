"""E f(ζ) by quadrature, where each ζ_d depends on one bit: the exact objective of a relaxation of a few bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from .latents import Bernoulli, ExponentialFamily, Objective

NODES, RANGE = 57, 3.1
MOST_POINTS = 2**21

Smoothed = Callable[[int, Tensor], Tensor]
"""(z, s) -> ζ: each ζ_d given that its bit is z (0 or 1) and its uniform is s_d; s and ζ are [n, *batch, D]."""


def smoothed_expectation(
    f: Objective, latent: ExponentialFamily, smoothed: Smoothed, breaks: tuple[float, ...] = ()
) -> Tensor | None:
    """E f(ζ) with z_d ~ Bernoulli(p_d), s_d ~ U(0, 1) and ζ_d = smoothed(z_d, s_d), [*batch].

    The sum of Π_d q(z_d) w(s_d) f(ζ) over all combinations of bits and nodes, differentiable in everything that f, p
    and ζ depend on; None with more than MOST_POINTS combinations (above 3 bits, without breaks) or without bits.
    Splitting at the bit removes the jump or kink at ε = 1 - p. The nodes crowd at both ends of s, where roots are
    singular and a large β or a small τ makes ζ steep. breaks: other points s_d at which ζ_d jumps.
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
    """Nodes in (0, 1) and weights of ∫ g(s) ds by the tanh-sinh rule: trapezoids in t, s = σ(π sinh t), |t| ≤ RANGE.

    It moves both ends, and any root there, to infinity (Takahasi & Mori 1974). There are NODES between two breaks.
    """
    t = torch.linspace(-RANGE, RANGE, NODES, device=like.device, dtype=like.dtype)
    s = (math.pi * t.sinh()).sigmoid().clamp_max(1 - torch.finfo(like.dtype).eps / 2)
    weight = t.cosh() * s * s.flip(0)  # s.flip(0) is 1 - s by symmetry, without its cancellation
    weight = weight / weight.sum()
    pieces = list(pairwise((0.0, *breaks, 1.0)))
    return (
        torch.cat([start + (end - start) * s for start, end in pieces]),
        torch.cat([(end - start) * weight for start, end in pieces]),
    )
