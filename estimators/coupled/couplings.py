"""Couplings of n draws of a categorical: exchangeable, each with distribution q, and jointly antithetic.

A coupling returns the draws z [n, *batch, N, K] and, for each pair i < j and each site, the ratio
r_ij = π(z_i) π(z_j) / P(z_i, z_j), [n (n - 1) / 2, *batch, N], where P is the joint distribution of a pair at that
site; for z_i = z_j it has no meaning. The draws come from uniforms coupled by the Dirichlet copula: with e ~ Exp(1)^n,
u_i = (1 - e_i / Σe)^(n-1), for which P(u_i < a, u_j < b) = max(a^(1/(n-1)) + b^(1/(n-1)) - 1, 0)^(n-1).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..latents import Discrete, LatentSpec
from ..latents.noise import uniform
from .binary_codes import decode, node_logits, path, stick_breaking


def pairs(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The indices i and j of all pairs i < j, [n (n - 1) / 2] each."""
    i, j = torch.triu_indices(n, n, 1, device=device)
    return i, j


def copula_uniforms(n: int, like: Tensor, generator: Generator | None) -> Tensor:
    """u [n, *shape of like]."""
    e = -uniform((n, *like.shape), like, generator).log()
    return (1 - e / e.sum(0)) ** (n - 1)


def independent(latent: Discrete, n: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """No coupling: r = 1."""
    z = latent.sample(n, generator)
    return z, torch.ones_like(z[pairs(n, z.device)[0], ..., 0])


def inverse_cdf(latent: Discrete, n: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """z_i is the inverse of the cdf at u_i, under an order of the classes that all draws of a site share.

    One of K (K - 1) / 2 orders is drawn per site. For every two classes there is one order that has the less likely of
    them first, the other last, and the rest between them in ascending order of their logits. P is the mean over all
    orders, so that no two classes have P = 0.
    """
    if latent.spec.classes == 1:  # no two classes to couple
        return independent(latent, n, generator)
    logits = latent.params.detach()
    pi = logits.softmax(-1).double()  # P below is a difference of cdfs, whose digits cancel in float32
    left = left_ends(logits, pi)
    u = copula_uniforms(n, logits[..., 0], generator).double().unsqueeze(-1)
    order = (left.shape[-2] * uniform((*pi.shape[:-1], 1, 1), logits, generator)).long()
    left_in_order = left.gather(-2, order.expand(*pi.shape[:-1], 1, pi.shape[-1])).squeeze(-2)
    # Positive only for the class whose interval contains u; the argmax picks one class also after rounding.
    z = latent.harden(torch.minimum(u - left_in_order, left_in_order + pi - u))

    pi_z = (pi * z).sum(-1)
    a = (left * z.unsqueeze(-2)).sum(-1)
    root_a, root_b = (end ** (1 / (n - 1)) for end in (a, a + pi_z.unsqueeze(-1)))

    def cdf(first: Tensor, second: Tensor) -> Tensor:
        return (first + second - 1).clamp_min(0) ** (n - 1)

    # P(z_i, z_j) in each order is the mass of the copula on the rectangle of the intervals [a, b] of z_i and z_j.
    i, j = pairs(n, pi.device)
    above = cdf(root_b[i], root_b[j]) - cdf(root_a[i], root_b[j])
    below = cdf(root_b[i], root_a[j]) - cdf(root_a[i], root_a[j])
    ratio = pi_z[i] * pi_z[j] / (above - below).mean(-1)
    return z.to(logits.dtype), ratio.to(logits.dtype)


def ends(spec: LatentSpec) -> int:
    """The numbers of `left_ends` for one data point, in float32: they are in float64."""
    count, classes = spec.event_shape
    return 2 * count * classes * classes * (classes - 1) // 2


def left_ends(logits: Tensor, pi: Tensor) -> Tensor:
    """The left end of each class, the sum of the π that precede it, in each order; [*batch, N, K (K - 1) / 2, K]."""
    classes = torch.arange(logits.shape[-1], device=logits.device)
    first, last = (rank.unsqueeze(-1) for rank in pairs(len(classes), logits.device))
    place = torch.where(classes == first, -1, torch.where(classes == last, len(classes), classes))
    precedes = (place.unsqueeze(-2) < place.unsqueeze(-1)).to(pi.dtype)
    ascending = logits.argsort(dim=-1, stable=True)
    left = torch.einsum("...k,sck->...sc", pi.gather(-1, ascending), precedes)
    rank = ascending.argsort(dim=-1).unsqueeze(-2)
    return left.gather(-1, rank.expand(left.shape))


def stick_breaking_bits(latent: Discrete, n: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Coupled bits 1[u_i < p] test the classes in ascending order of their logits; z_i is the first class whose bit is
    1. With C(p) = P(u_i < p, u_j < p), and m the first class whose bits differ,

    r = p_m (1 - p_m) / (p_m - C(p_m)) Π_{c<m} (1 - p_c)² / (1 - 2 p_c + C(p_c)).
    """
    logits = latent.params.detach()
    code = stick_breaking(logits)
    v = node_logits(code, logits)
    p = v.sigmoid()
    bits = (copula_uniforms(n, p, generator) < p).to(p.dtype)
    z = decode(code, bits)

    both = (2 * p ** (1 / (n - 1)) - 1).clamp_min(0) ** (n - 1)
    log_apart = logsigmoid(v) + logsigmoid(-v) - (p - both).log()
    log_neither = 2 * logsigmoid(-v) - (1 - 2 * p + both).log()
    i, j = pairs(n, p.device)
    on = path(code, z) > 0.5
    log_ratio = torch.where(bits[i] != bits[j], log_apart, log_neither).where(on[i] & on[j], 0.0)
    return z, log_ratio.sum(-1).exp()


COUPLINGS = {"inverse-cdf": inverse_cdf, "stick-breaking": stick_breaking_bits, "independent": independent}
