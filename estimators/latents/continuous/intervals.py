"""Location-scale families on an interval whose ends move with the parameters (low, log width)."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ...names import Unsupported
from ..natural import POSITIVE, REAL
from ..noise import uniform
from .location_scale import LocationScale


class Uniform(LocationScale):
    """p(ε) = 1 on [0, 1]; params (low, log width). Its ends move, so that E_q[f ∇ log q] ≠ ∇ E_q f."""

    family = "uniform"
    natural = {"low": REAL, "width": POSITIVE}
    noise_mean = 1 / 2
    noise_variance = 1 / 12

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return uniform((n, *self.loc.shape), self.loc, generator)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return torch.zeros_like(noise).masked_fill(outside(noise), -math.inf)

    def noise_score(self, noise: Tensor) -> Tensor:
        """Raises Unsupported."""
        raise Unsupported("the ends of a uniform latent move with its parameters, which its score does not see")


class Triangular(LocationScale):
    """p(ε) = 4 min(ε, 1 - ε) on [0, 1], the mode fixed in the middle; params (low, log width).

    s(ε) = 1/ε below the mode: E s = 0, but E s² = ∫ 4/ε dε is infinite.
    """

    family = "triangular"
    natural = {"low": REAL, "width": POSITIVE}
    finite_score = False
    noise_mean = 1 / 2
    noise_variance = 1 / 24

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """The mean of two uniforms."""
        return uniform((2, n, *self.loc.shape), self.loc, generator).mean(0)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return (4 * self.edge(noise)).log().masked_fill(outside(noise), -math.inf)

    def noise_score(self, noise: Tensor) -> Tensor:
        return (0.5 - noise).sign() / self.edge(noise)

    def edge(self, noise: Tensor) -> Tensor:
        """min(ε, 1 - ε), at least the smallest distance from an end at which ε is drawn."""
        return torch.minimum(noise, 1 - noise).clamp_min(torch.finfo(noise.dtype).eps / 4)


def outside(noise: Tensor) -> Tensor:
    """Whether ε lies outside [0, 1] by more than the rounding of a draw at its end."""
    return (noise - 0.5).abs() > 0.5 + 8 * torch.finfo(noise.dtype).eps
