"""Mean-field marginals of a restricted Boltzmann machine whose bits are smoothed, as in DVAE#."""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 5


def mean_field_marginal(log_r: Tensor, bias: Tensor, weight: Tensor, sweeps: int = SWEEPS) -> Tensor:
    """A lower bound on log Σ_z exp(b·z + z₁' W z₂) r(ζ given z) = log Z + log p(ζ), [*], over bits z = (z₁, z₂).

    log_r: log r(ζ_i given z_i) for z_i = 0 and z_i = 1, [2, *, m + n]. bias: b [m + n]. weight: W [m, n]. With the
    means μ of `mean_field`, the bound is E_μ log(exp(b·z + z₁' W z₂) r(ζ given z)) + H(μ), which is too low by
    KL(μ || p(z given ζ)). μ has no gradient: at the fixed point of the sweeps the bound has no slope in it. log Z is
    left to the caller. Vahdat, Andriyash & Macready 2018, DVAE#.
    """
    off, on = log_r
    field = bias + on - off
    means = mean_field(field, weight, sweeps)
    first, second = means.split(tuple(weight.shape), -1)
    entropy = torch.special.entr(means) + torch.special.entr(1 - means)
    return (off + means * field + entropy).sum(-1) + ((first @ weight) * second).sum(-1)


@torch.no_grad()
def mean_field(field: Tensor, weight: Tensor, sweeps: int = SWEEPS) -> Tensor:
    """The means μ [*, m + n] of independent bits near exp(field·z + z₁' W z₂), by sweeps from 1/2 over the two sides,

    μ₁ = σ(field₁ + W μ₂),  μ₂ = σ(field₂ + W' μ₁),

    of which none raises their divergence from it. field [*, m + n], weight W [m, n].
    """
    first, second = field.split(tuple(weight.shape), -1)
    below, above = torch.full_like(first, 0.5), torch.full_like(second, 0.5)
    for _ in range(sweeps):
        below = (first + above @ weight.mT).sigmoid()
        above = (second + below @ weight).sigmoid()
    return torch.cat([below, above], -1)
