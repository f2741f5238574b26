"""The base of overlapping smoothings: ζ drawn around a bit, and its implicit gradient through the mixture's CDF."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.latent import finite
from ..latents.noise import uniform
from ..quadrature import smoothed_expectation


class Draw(NamedTuple):
    """Bits z and the uniforms s of their ζ, both [1, *batch, D]."""

    z: Tensor
    s: Tensor


class Overlap(NamedTuple):
    """δ, the distance of ζ from its bit, and the density r₀ = r(·|0) and its CDF R₀ at δ and, for the other bit, 1 - δ.

    within: R₀(δ). crossed: 1 - R₀(1 - δ). near, far: log r₀(δ), log r₀(1 - δ). All of the shape of δ.
    """

    delta: Tensor
    within: Tensor
    crossed: Tensor
    near: Tensor
    far: Tensor


class Overlapping(Estimator):
    """Abstract: z ~ Bernoulli(q), ζ ~ r(·|z) with r(ζ|1) = r(1 - ζ|0), so that ζ = δ or 1 - δ, and ∇_φ f(ζ) with

    dζ/dq = (R(ζ|0) - R(ζ|1)) / (q r(ζ|1) + (1 - q) r(ζ|0)),

    the derivative at a fixed level of the mixture's CDF (1 - q) R(ζ|0) + q R(ζ|1). For both bits the numerator is
    R₀(δ) + R₀(1 - δ) - 1. Unbiased for its own E f(ζ), biased for E_q f.
    """

    breaks: tuple[float, ...] = ()
    exact_for = ""

    @abstractmethod
    def overlap(self, s: Tensor) -> Overlap:
        """The smoothing at uniforms s, which carry no gradient."""

    @abstractmethod
    def log_density(self, delta: Tensor) -> Tensor:
        """log r₀(δ)."""

    def log_r(self, zeta: Tensor) -> Tensor:
        """log r(ζ|0) and log r(ζ|1), [2, *]."""
        return torch.stack([self.log_density(zeta), self.log_density(1 - zeta)])

    def claim(self) -> Claim:
        return Claim(target="own-relaxed", exact_for=self.exact_for)

    def sample(self, latent: Discrete, generator: Generator | None) -> Draw:
        return Draw(latent.sample(1, generator), uniform((1, *latent.params.shape), latent.params, generator))

    def gradient(self, f: Objective, latent: Discrete, draw: Draw) -> Estimate:
        params = finite(latent.params)
        at, logits = self.overlap(draw.s), params.detach()
        own = (2 * draw.z - 1) * logits
        log_density = torch.logaddexp(logsigmoid(own) + at.near, logsigmoid(-own) + at.far)
        slope = (at.within - at.crossed) * (logsigmoid(logits) + logsigmoid(-logits) - log_density).exp()
        return Estimate(f(around(draw.z, at.delta) + slope * (params - logits)).squeeze(0))

    def stand_in(self, latent: Discrete, zeta: Tensor) -> Tensor:
        """ν = P(z = 1 | ζ) = σ(φ + log r(ζ|1) - log r(ζ|0)), with which DVAE++ has its cross-entropy exactly."""
        off, on = self.log_r(zeta)
        return (finite(latent.params) + on - off).sigmoid()

    def relaxed_target(self, f: Objective, latent: Discrete) -> Tensor | None:
        return smoothed_expectation(f, latent, lambda z, s: around(z, self.overlap(s).delta), self.breaks)


def around(z: Tensor | int, delta: Tensor) -> Tensor:
    """ζ = δ where the bit is 0, 1 - δ where it is 1."""
    return z + (1 - 2 * z) * delta
