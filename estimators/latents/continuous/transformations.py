"""Transformations of normal and gamma variables (Paul 2023, section 1.6, second group; Student's t too).

A gamma variable has no fixed noise: its draws carry the implicit gradient (Figurnov, Mohamed & Mnih 2018) that torch
has for them, dG/da = -∂F/∂a / q(G), to about three digits.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from ..latent import uniform
from ..natural import POSITIVE, REAL
from .continuous import Continuous, FixedNoise, Sites, positive, proper_fraction
from .location_scale import Gaussian


def log_gamma(log_a: Tensor, n: int, generator: Generator | None) -> Tensor:
    """log G with G ~ Gamma(a, 1), [n, *a.shape], differentiable in log a.

    G(a) = G(a + 1) U^(1/a) (Marsaglia & Tsang 2000, section 6), so that small shapes do not underflow.
    """
    boosted = torch._standard_gamma(log_a.exp().add(1).expand(n, *log_a.shape), generator=generator)
    u = uniform((n, *log_a.shape), log_a, generator)
    return boosted.log() + u.log() * (-log_a).exp()


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


class LogNormal(Sites, FixedNoise):
    """log z ~ N(loc, scale²); params (loc, log scale) of log z. log q(z) = log N(log z) - log z."""

    family = "log-normal"
    natural = {"loc": REAL, "scale": POSITIVE}

    @property
    def logarithm(self) -> Gaussian:
        """The law of log z."""
        return Gaussian(self.params)

    @property
    def mean(self) -> Tensor:
        return (self.logarithm.loc + 0.5 * self.logarithm.variance).exp()

    @property
    def variance(self) -> Tensor:
        return self.logarithm.variance.expm1() * self.mean.square()

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return self.logarithm.noise(n, generator)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return self.logarithm.noise_log_prob(noise)

    def transform(self, noise: Tensor) -> Tensor:
        return positive(self.logarithm.transform(noise))

    def site_log_prob(self, z: Tensor) -> Tensor:
        return self.logarithm.site_log_prob(z.log()) - z.log()

    def score(self, z: Tensor) -> Tensor:
        return self.logarithm.score(z.detach().log())


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


class F(Sites):
    """z = (G(a) / a) / (G(b) / b) with a = d₁ / 2, b = d₂ / 2; params (log d₁, log d₂).

    With r = a z / b: q(z) = r^a (1 + r)^-(a+b) / (z B(a, b)).
    """

    family = "f"
    natural = {"df1": POSITIVE, "df2": POSITIVE}

    @property
    def mean(self) -> Tensor:
        d = self.params[..., 1].exp()
        return torch.where(d > 2, d / (d - 2), math.inf)

    @property
    def variance(self) -> Tensor:
        d1, d2 = self.params.exp().unbind(-1)
        finite = 2 * d2.square() * (d1 + d2 - 2) / (d1 * (d2 - 2).square() * (d2 - 4))
        return torch.where(d2 > 4, finite, torch.where(d2 > 2, math.inf, math.nan))

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        log_half = self.params - math.log(2)
        above, below = (log_gamma(log_half, n, generator) - log_half).unbind(-1)
        return positive(above - below)

    def site_log_prob(self, z: Tensor) -> Tensor:
        a, b = (0.5 * self.params.exp()).unbind(-1)
        log_r = z.log() + self.params[..., 0] - self.params[..., 1]
        return a * log_r - (a + b) * softplus(log_r) - z.log() - log_beta(a, b)


class StudentT(Sites):
    """z = loc + scale ε √(ν / 2 / G(ν / 2)) with ε ~ N(0, 1); params (loc, log scale, log ν).

    With t = (z - loc) / scale: q(z) = (1 + t²/ν)^-(ν+1)/2 / (scale √ν B(ν/2, 1/2)).
    """

    family = "student-t"
    natural = {"loc": REAL, "scale": POSITIVE, "df": POSITIVE}

    @property
    def mean(self) -> Tensor:
        loc, _, log_df = self.params.unbind(-1)
        return torch.where(log_df > 0, loc, math.nan)

    @property
    def variance(self) -> Tensor:
        _, log_scale, log_df = self.params.unbind(-1)
        finite = (2 * log_scale + log_df).exp() / (log_df.exp() - 2)
        return torch.where(log_df > math.log(2), finite, torch.where(log_df > 0, math.inf, math.nan))

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        loc, log_scale, log_df = self.params.unbind(-1)
        log_half = log_df - math.log(2)
        log_stretch = log_scale + 0.5 * (log_half - log_gamma(log_half, n, generator))
        noise = torch.randn(log_stretch.shape, generator=generator, device=loc.device, dtype=loc.dtype)
        return loc + noise * positive(log_stretch)

    def site_log_prob(self, z: Tensor) -> Tensor:
        loc, log_scale, log_df = self.params.unbind(-1)
        half = 0.5 * log_df.exp()
        t = (z - loc) * (-log_scale - 0.5 * log_df).exp()
        normaliser = log_scale + 0.5 * log_df + log_beta(half, torch.full_like(half, 0.5))
        return -(half + 0.5) * t.square().log1p() - normaliser
