"""Finite scalar quantisation: no codebook; every component of an encoding is rounded to one of a few levels."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ..contract import Estimate
from ..latents import Encodings, Objective
from .parts import passed_on
from .quantiser import Quantiser

EPS = 1e-3


class Fsq(Quantiser):
    """f(round(b) / ⌊L/2⌋), b = h tanh(e + atanh(o/h)) - o, h = (L - 1)(1 + ε) / 2, o = 1/2 for even L and else 0,

    with ∂round(b)/∂b := 1: L levels in [-1, 1], one of them 0. The model's codebook is not used: the L^D codes of a
    site are its own.
    """

    formula = (
        r"\begin{aligned} \ell &= f\big(\operatorname{round}(b) / \lfloor L/2 \rfloor\big),\quad \partial "
        r"\operatorname{round}(b) / \partial b := 1, \\ b &= h \tanh(e + \operatorname{artanh}(o / h)) - "
        r"o,\quad h = \tfrac12 (L - 1)(1 + \epsilon),\ o = \tfrac12 [L \text{ even}] \end{aligned}"
    )
    name = "fsq"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {
        "levels": {"default": 5, "min": 3, "about": "levels that each component of an encoding is rounded to"}
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Mentzer et al. 2023, Finite scalar quantization: VQ-VAE made simple, section 3"

    levels: int

    @property
    def codes(self) -> int:
        return int(self.levels ** self.spec.event_shape[1])

    def quantise(self, latent: Encodings) -> Tensor:
        return self.sample(latent, None) / (self.levels // 2)

    def indices(self, latent: Encodings) -> Tensor:
        """The levels, from 0 to L - 1, as the digits of a number, the first the lowest."""
        levels = self.sample(latent, None).long() + self.levels // 2
        return (levels * self._places(levels)).sum(-1)

    def vectors(self, indices: Tensor, latent: Encodings) -> Tensor:
        unit = self.levels // 2
        levels = indices.unsqueeze(-1) // self._places(indices) % self.levels - unit
        return levels.to(latent.params.dtype) / unit

    def _places(self, like: Tensor) -> Tensor:
        """L^d of each component d, [D]."""
        return self.levels ** torch.arange(self.spec.event_shape[1], device=like.device)

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        """The rounded components, [*batch, N, D]."""
        return self._bounded(latent.params.detach()).round()

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        unit = self.levels // 2
        return Estimate(passed_on(f, draw / unit, self._bounded(latent.params) / unit))

    def _bounded(self, e: Tensor) -> Tensor:
        half, offset = (self.levels - 1) * (1 + EPS) / 2, (1 - self.levels % 2) / 2
        return half * (e + math.atanh(offset / half)).tanh() - offset
