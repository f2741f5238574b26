"""The normal distribution with a full covariance: the elliptical family with a closed form for everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ..natural import CHOLESKY, REAL
from .continuous import FixedNoise
from .location_scale import HALF_LOG_TWO_PI


class MultivariateNormal(FixedNoise):
    """z = μ + L ε with L lower triangular; params [*batch, D, D + 1]: μ, then L with the logarithm of its diagonal.

    Entries above the diagonal are ignored.
    """

    family = "multivariate-normal"
    natural = {"loc": REAL, "scale_tril": CHOLESKY}

    @classmethod
    def pack(cls, columns: Sequence[Tensor]) -> Tensor:
        loc, factor = columns
        return torch.cat([loc.unsqueeze(-1), factor.expand(*loc.shape, loc.shape[-1])], -1)

    @classmethod
    def columns(cls, sites: int) -> int:
        return sites + 1

    @property
    def mean(self) -> Tensor:
        return self.params[..., 0]

    @property
    def log_diagonal(self) -> Tensor:
        return self.params[..., 1:].diagonal(dim1=-2, dim2=-1)

    @property
    def factor(self) -> Tensor:
        """L, [*batch, D, D]."""
        return self.params[..., 1:].tril(-1) + self.log_diagonal.exp().diag_embed()

    @property
    def variance(self) -> Tensor:
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    @property
    def covariance(self) -> Tensor:
        return self.factor @ self.factor.mT

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        mean = self.mean
        return torch.randn((n, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return -0.5 * noise.square() - HALF_LOG_TWO_PI

    def transform(self, noise: Tensor) -> Tensor:
        return self.mean + (self.factor @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        noise = torch.linalg.solve_triangular(self.factor, (z - self.mean).unsqueeze(-1), upper=False).squeeze(-1)
        return (self.noise_log_prob(noise) - self.log_diagonal).sum(-1)

    def kl_to_prior(self) -> Tensor:
        """KL to N(0, I) = (tr(L Lᵀ) + |μ|² - D) / 2 - log det L, [*batch]."""
        squares = self.factor.square().sum((-2, -1)) + self.mean.square().sum(-1)
        return 0.5 * (squares - self.mean.shape[-1]) - self.log_diagonal.sum(-1)
