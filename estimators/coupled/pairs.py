"""Pairs of bit vectors that differ in some bits, and the gradients from their two values of f."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contract import expand_right
from ..latents import Discrete


def antithetic(latent: Discrete, u: Tensor) -> Tensor:
    """The twins b = 1[u > 1 - p] and b' = 1[u < p] of u ~ U(0, 1)^D [*batch, D], each a draw of q: [2, *batch, D]."""
    p = latent.params.detach().sigmoid()
    pair = torch.stack([u, u])
    pair[0].gt_(1 - p)
    pair[1].lt_(p)
    return pair


def disarm(latent: Discrete, pair: Tensor, f_pair: Tensor) -> Tensor:
    """½ (f(b) - f(b')) (b_d - b'_d) σ(|φ_d|): ARM's gradient given the twins alone, [*batch, D]."""
    apart = pair[0] - pair[1]
    return 0.5 * expand_right((f_pair[0] - f_pair[1]).detach(), apart) * apart * latent.params.detach().abs().sigmoid()


def flip(z: Tensor, chosen: Tensor) -> Tensor:
    """z [*batch, D] with the chosen bits (a mask) set to 1, then set to 0: [2, *batch, D]."""
    return torch.stack([z.masked_fill(chosen, 1.0), z.masked_fill(chosen, 0.0)])


def bitflip(latent: Discrete, chosen: Tensor, f_pair: Tensor) -> Tensor:
    """(f(z with bit d at 1) - f(z with it at 0)) p_d (1 - p_d) for chosen bits, zero for the others: [*batch, D]."""
    logits = latent.params.detach()
    variance = logits.sigmoid() * (-logits).sigmoid()
    return expand_right((f_pair[0] - f_pair[1]).detach(), variance) * variance * chosen


def averaged(latent: Discrete, chosen: Tensor, f_pair: Tensor) -> Tensor:
    """p_d f(z with bit d at 1) + (1 - p_d) f(z with it at 0), d the chosen bit: f averaged over that bit, [*batch]."""
    p = (latent.params.detach().sigmoid() * chosen).sum(-1)
    return p * f_pair[0] + (1 - p) * f_pair[1]
