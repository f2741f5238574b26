"""Location-scale families: z = loc + scale ε (Paul 2023, section 1.6, first group)."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..natural import POSITIVE, REAL
from ..noise import gumbel, uniform
from .continuous import FixedNoise, Sites

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class LocationScale(Sites, FixedNoise):
    """Abstract: log q(z) = log p(ε) - log scale with ε = (z - loc) / scale; params (loc, log scale).

    noise_mean, noise_variance: of ε.
    """

    natural = {"loc": REAL, "scale": POSITIVE}
    noise_mean: ClassVar[float] = 0.0
    noise_variance: ClassVar[float]

    @property
    def loc(self) -> Tensor:
        return self.params[..., 0]

    @property
    def log_scale(self) -> Tensor:
        return self.params[..., 1]

    @property
    def mean(self) -> Tensor:
        return self.loc + self.log_scale.exp() * self.noise_mean

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_scale).exp() * self.noise_variance

    @abstractmethod
    def noise_score(self, noise: Tensor) -> Tensor:
        """s(ε) = d log p / dε."""

    def transform(self, noise: Tensor) -> Tensor:
        return torch.addcmul(self.loc, self.log_scale.exp(), noise)

    def standardise(self, z: Tensor) -> Tensor:
        """ε = (z - loc) / scale."""
        return (z - self.loc) * (-self.log_scale).exp()

    def site_log_prob(self, z: Tensor) -> Tensor:
        return self.noise_log_prob(self.standardise(z)) - self.log_scale

    def score(self, z: Tensor) -> Tensor:
        """(-s(ε) / scale, -1 - ε s(ε))."""
        with torch.no_grad():
            noise = self.standardise(z)
            slope = self.noise_score(noise)
            return torch.stack([-slope * (-self.log_scale).exp(), -1 - noise * slope], -1)


class Gaussian(LocationScale):
    """log p(ε) = -ε²/2 - log √(2π)."""

    family = "gaussian"
    noise_variance = 1.0

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        loc = self.loc
        return torch.randn((n, *loc.shape), generator=generator, device=loc.device, dtype=loc.dtype)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return -0.5 * noise.square() - HALF_LOG_TWO_PI

    def noise_score(self, noise: Tensor) -> Tensor:
        return -noise

    def kl_to_prior(self) -> Tensor:
        """KL(N(μ, σ²) || N(0, 1)) = Σ (σ² + μ² - 1) / 2 - log σ, [*batch] (Paul 2023, section 1.4)."""
        return (0.5 * ((2 * self.log_scale).exp() + self.loc.square() - 1) - self.log_scale).sum(-1)

    def l2_to_prior(self) -> Tensor:
        """Σ μ² + (σ - 1)², [*batch]: an alternative of the same section; 0 at the prior, but no divergence."""
        return (self.loc.square() + (self.log_scale.exp() - 1).square()).sum(-1)


class Laplace(LocationScale):
    """p(ε) = exp(-|ε|) / 2."""

    family = "laplace"
    noise_variance = 2.0

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """F⁻¹(u) = sign(u - 1/2) (-log(2 min(u, 1 - u)))."""
        u = uniform((n, *self.loc.shape), self.loc, generator)
        return (0.5 - u).sign() * (2 * torch.minimum(u, 1 - u)).log()

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return -noise.abs() - math.log(2)

    def noise_score(self, noise: Tensor) -> Tensor:
        return -noise.sign()

    def kl_to_prior(self) -> Tensor:
        """KL to Laplace(0, 1) = Σ |μ| + b exp(-|μ| / b) - log b - 1, [*batch]."""
        size, scale = self.loc.abs(), self.log_scale.exp()
        return (size + scale * (-size / scale).exp() - self.log_scale - 1).sum(-1)


class Logistic(LocationScale):
    """p(ε) = σ(ε) σ(-ε)."""

    family = "logistic"
    noise_variance = math.pi**2 / 3

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return torch.logit(uniform((n, *self.loc.shape), self.loc, generator))

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return logsigmoid(noise) + logsigmoid(-noise)

    def noise_score(self, noise: Tensor) -> Tensor:
        return -(0.5 * noise).tanh()


class Cauchy(LocationScale):
    """p(ε) = 1 / (π (1 + ε²)); no mean and no variance. ∂z/∂scale = ε, so that E |f'(z) ε| need not be finite."""

    family = "cauchy"
    finite_path = False
    noise_mean = math.nan
    noise_variance = math.nan

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """F⁻¹(u) = tan(π (u - 1/2))."""
        return (math.pi * (uniform((n, *self.loc.shape), self.loc, generator) - 0.5)).tan()

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return -noise.square().log1p() - math.log(math.pi)

    def noise_score(self, noise: Tensor) -> Tensor:
        return -2 * noise / (1 + noise.square())


class Gumbel(LocationScale):
    """log p(ε) = -ε - exp(-ε)."""

    family = "gumbel"
    noise_mean = 0.57721566490153286
    noise_variance = math.pi**2 / 6

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return gumbel((n, *self.loc.shape), self.loc, generator)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return -noise - (-noise).exp()

    def noise_score(self, noise: Tensor) -> Tensor:
        return (-noise).expm1()
