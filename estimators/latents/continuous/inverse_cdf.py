"""Families drawn by their inverse CDF: z = F⁻¹(u) (Paul 2023, section 1.6, third group).

Cauchy and Gumbel belong to this group too, but are location-scale families as well and are in location_scale.py.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Generator, Tensor

from ..natural import POSITIVE
from ..noise import uniform
from .continuous import FixedNoise, Sites, positive, proper_fraction
from .gammas import log_beta


class InverseCdf(Sites, FixedNoise):
    """Abstract: the noise is uniform, and `transform` is F⁻¹."""

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return uniform((n, *self.params.shape[:-1]), self.params, generator)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return torch.zeros_like(noise)


class Exponential(InverseCdf):
    """F(z) = 1 - exp(-λ z); params (log λ)."""

    family = "exponential"
    natural = {"rate": POSITIVE}

    @property
    def log_rate(self) -> Tensor:
        return self.params[..., 0]

    @property
    def mean(self) -> Tensor:
        return (-self.log_rate).exp()

    @property
    def variance(self) -> Tensor:
        return self.mean.square()

    def transform(self, noise: Tensor) -> Tensor:
        return -(-noise).log1p() * (-self.log_rate).exp()

    def site_log_prob(self, z: Tensor) -> Tensor:
        return self.log_rate - self.log_rate.exp() * z

    def score(self, z: Tensor) -> Tensor:
        """1 - λ z."""
        return (1 - self.log_rate.detach().exp() * z.detach()).unsqueeze(-1)

    def kl_to_prior(self) -> Tensor:
        """KL to the exponential of rate 1 = Σ log λ + 1/λ - 1, [*batch]."""
        return (self.log_rate + (-self.log_rate).exp() - 1).sum(-1)


class KnownMoments(InverseCdf):
    """Abstract: every moment has a closed form."""

    @abstractmethod
    def moment(self, order: int) -> Tensor:
        """E z^m of each site, [*batch, D]."""

    @property
    def mean(self) -> Tensor:
        return self.moment(1)

    @property
    def variance(self) -> Tensor:
        return self.moment(2) - self.moment(1).square()


class Weibull(KnownMoments):
    """F(z) = 1 - exp(-(z/λ)^k); params (log λ, log k)."""

    family = "weibull"
    natural = {"scale": POSITIVE, "concentration": POSITIVE}

    def moment(self, order: int) -> Tensor:
        """E z^m = λ^m Γ(1 + m/k), [*batch, D]."""
        log_scale, log_k = self.params.unbind(-1)
        return (order * log_scale + (1 + order * (-log_k).exp()).lgamma()).exp()

    def transform(self, noise: Tensor) -> Tensor:
        log_scale, log_k = self.params.unbind(-1)
        return positive(log_scale + (-(-noise).log1p()).log() * (-log_k).exp())

    def site_log_prob(self, z: Tensor) -> Tensor:
        log_scale, log_k = self.params.unbind(-1)
        log_power = log_k.exp() * (z.log() - log_scale)
        return log_k + log_power - log_power.exp() - z.log()


class Kumaraswamy(KnownMoments):
    """F(z) = 1 - (1 - z^a)^b on (0, 1); params (log a, log b)."""

    family = "kumaraswamy"
    natural = {"concentration1": POSITIVE, "concentration0": POSITIVE}

    def moment(self, order: int) -> Tensor:
        """E z^m = b B(1 + m/a, b), [*batch, D]."""
        log_a, log_b = self.params.unbind(-1)
        return (log_b + log_beta(1 + order * (-log_a).exp(), log_b.exp())).exp()

    def transform(self, noise: Tensor) -> Tensor:
        log_a, log_b = self.params.unbind(-1)
        log_power = (-((-noise).log1p() * (-log_b).exp()).expm1()).log()
        return proper_fraction(log_power * (-log_a).exp())

    def site_log_prob(self, z: Tensor) -> Tensor:
        log_a, log_b = self.params.unbind(-1)
        a, b = log_a.exp(), log_b.exp()
        return log_a + log_b + (a - 1) * z.log() + (b - 1) * (-(a * z.log()).expm1()).log()
