"""Families made of gamma variables (Paul 2023, section 1.6, second group).

Gamma draws are not made from parameter-free noise. They carry torch's implicit gradient, dG/da = -∂F/∂a / q(G)
(Figurnov, Mohamed & Mnih 2018), which is accurate to about three digits.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ..natural import POSITIVE
from ..noise import uniform
from .continuous import Continuous, Sites, positive, proper_fraction


def log_gamma(log_a: Tensor, n: int, generator: Generator | None) -> Tensor:
    """log G with G ~ Gamma(a, 1), [n, *a.shape], differentiable in log a.

    G(a) = G(a + 1) U^(1/a) (Marsaglia & Tsang 2000, section 6), so that small shapes do not underflow.
    """
    boosted = torch._standard_gamma(log_a.exp().add(1).expand(n, *log_a.shape), generator=generator)
    u = uniform((n, *log_a.shape), log_a, generator)
    return boosted.log() + u.log() * (-log_a).exp()


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


class Gamma(Sites):
    """q(z) = β^a z^(a-1) exp(-β z) / Γ(a); z = G(a) / β; params (log a, log β)."""

    family = "gamma"
    natural = {"concentration": POSITIVE, "rate": POSITIVE}

    @property
    def mean(self) -> Tensor:
        log_a, log_rate = self.params.unbind(-1)
        return (log_a - log_rate).exp()

    @property
    def variance(self) -> Tensor:
        log_a, log_rate = self.params.unbind(-1)
        return (log_a - 2 * log_rate).exp()

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        log_a, log_rate = self.params.unbind(-1)
        return positive(log_gamma(log_a, n, generator) - log_rate)

    def site_log_prob(self, z: Tensor) -> Tensor:
        log_a, log_rate = self.params.unbind(-1)
        a = log_a.exp()
        return a * (log_rate + z.log()) - z.log() - log_rate.exp() * z - a.lgamma()


class ChiSquared(Sites):
    """z = 2 G(ν / 2), the Gamma of concentration ν / 2 and rate 1 / 2; params (log ν)."""

    family = "chi-squared"
    natural = {"df": POSITIVE}

    @property
    def gamma(self) -> Gamma:
        log_df = self.params[..., 0]
        return Gamma(torch.stack([log_df, torch.zeros_like(log_df)], -1) - math.log(2))

    @property
    def mean(self) -> Tensor:
        return self.gamma.mean

    @property
    def variance(self) -> Tensor:
        return self.gamma.variance

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        return self.gamma.rsample(n, generator)

    def site_log_prob(self, z: Tensor) -> Tensor:
        return self.gamma.site_log_prob(z)


class Beta(Sites):
    """z = G(a) / (G(a) + G(b)); q(z) = z^(a-1) (1 - z)^(b-1) / B(a, b); params (log a, log b)."""

    family = "beta"
    natural = {"concentration1": POSITIVE, "concentration0": POSITIVE}

    @property
    def mean(self) -> Tensor:
        log_a, log_b = self.params.unbind(-1)
        return (log_a - log_b).sigmoid()

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean) / (self.params.exp().sum(-1) + 1)

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        log_g = log_gamma(self.params, n, generator)
        return proper_fraction(log_g[..., 0] - log_g.logsumexp(-1))

    def site_log_prob(self, z: Tensor) -> Tensor:
        a, b = self.params.exp().unbind(-1)
        return (a - 1) * z.log() + (b - 1) * (-z).log1p() - log_beta(a, b)


class Dirichlet(Continuous):
    """z = G(a) / Σ_d G(a_d), on the simplex; q(z) = Γ(Σ a) Π z_d^(a_d - 1) / Γ(a_d); params (log a)."""

    family = "dirichlet"
    natural = {"concentration": POSITIVE}

    @property
    def mean(self) -> Tensor:
        return self.params[..., 0].softmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    @property
    def covariance(self) -> Tensor:
        """(diag(m) - m mᵀ) / (Σ a + 1)."""
        total = self.params.exp().sum((-2, -1))[..., None, None]
        return (self.mean.diag_embed() - self.mean.unsqueeze(-1) * self.mean.unsqueeze(-2)) / (total + 1)

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        return proper_fraction(log_gamma(self.params[..., 0], n, generator).log_softmax(-1))

    def log_prob(self, z: Tensor) -> Tensor:
        a = self.params[..., 0].exp()
        return ((a - 1) * z.log() - a.lgamma()).sum(-1) + a.sum(-1).lgamma()
