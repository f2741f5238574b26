"""DVAE#'s Gaussian integral: the density of smoothed bits under a restricted Boltzmann machine, without a sum."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ...estimators.names import UsageError


def log_gaussian_integral(zeta: Tensor, bias: Tensor, weight: Tensor, strength: float) -> Tensor:
    """log Z + log p(ζ), [*], for ζ [*, m + n]: p(z) = exp(b·z + z₁' W z₂) / Z of bits z = (z₁, z₂), [m] and [n], and

    ζ given z ~ N(z, M⁻¹),  M = [[0, W], [W', 0]] + λ I,  so that
    log p(ζ) = -log Z + 1/2 log det(M / 2π) - 1/2 ζ' M ζ + Σ_i softplus((M ζ)_i + b_i - λ/2).

    bias: b [m + n]. weight: W [m, n]. strength: λ. log Z, which no ζ changes, is left to the caller. Differentiable in
    ζ, b and W. Vahdat, Andriyash & Macready 2018, DVAE#.

    Raises UsageError unless λ is above the largest singular value of W: M would not be positive definite.
    """
    rows, columns = weight.shape
    values = torch.linalg.svdvals(weight)
    largest = float(values.detach().amax())  # no wait of its own: a singular value decomposition waits for the device
    if not strength > largest:
        raise UsageError(
            f"the Gaussian integral needs a lambda above the largest singular value of W, {largest:.4g}, and got "
            f"{strength:.4g}: raise lambda, or keep W smaller"
        )
    first, second = zeta.split((rows, columns), -1)
    image = torch.cat([second @ weight.mT, first @ weight], -1) + strength * zeta
    log_det = (strength**2 - values.square()).log().sum() + abs(rows - columns) * math.log(strength)
    gaussian = (log_det - (rows + columns) * math.log(2 * math.pi) - (zeta * image).sum(-1)) / 2
    return gaussian + softplus(image + bias - strength / 2).sum(-1)
