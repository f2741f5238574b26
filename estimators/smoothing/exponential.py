"""The exponential distribution truncated to [0, 1], of which overlapping smoothings are made."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def quantile(beta: float, s: Tensor) -> Tensor:
    """R₀⁻¹(s) = -log(1 - s (1 - e^-β)) / β."""
    return -torch.log1p(s * math.expm1(-beta)) / beta


def cdf(beta: float, delta: Tensor) -> Tensor:
    """R₀(δ) = (1 - e^-βδ) / (1 - e^-β)."""
    return torch.expm1(-beta * delta) / math.expm1(-beta)


def survival(beta: float, delta: Tensor) -> Tensor:
    """1 - R₀(1 - δ) = (e^-β(1 - δ) - e^-β) / (1 - e^-β)."""
    return (-beta * (1 - delta)).exp() * cdf(beta, delta)


def log_density(beta: float, delta: Tensor) -> Tensor:
    """log r₀(δ), r₀(δ) = β e^-βδ / (1 - e^-β)."""
    return math.log(beta) - math.log(-math.expm1(-beta)) - beta * delta
