"""Student's t and F: quotients of normal and gamma variables."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from ..natural import POSITIVE, REAL
from .continuous import Sites, positive
from .gammas import log_beta, log_gamma


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
