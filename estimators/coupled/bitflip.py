"""bitflip-1: the local expectation gradient of one bit drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .pairs import averaged, bitflip, flip


class Flipped(NamedTuple):
    """The pair b⁺, b⁻ [2, *batch, D] and the mask of the bit they differ in [*batch, D]."""

    pair: Tensor
    chosen: Tensor


class Bitflip(Estimator):
    """With j ~ U{1, ..., D} and b ~ q, b⁺ = b with bit j set to 1 and b⁻ with it set to 0:

    g_j = D (f(b⁺) - f(b⁻)) p_j (1 - p_j), zero for the other bits.

    The variance of g_j is below D p_j² (1 - p_j)² times the mean squared difference: small for nearly certain bits,
    where antithetic estimators do badly, but proportional to D.
    """

    formula = r"g_j = D\,(f(b^+) - f(b^-))\, p_j (1 - p_j),\quad j \sim U\{1, \dots, D\};\qquad g_d = 0,\ d \ne j"
    name = "bitflip"
    aliases = ("bitflip-1",)
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = (
        "Kunes, Yin, Land, Haviv, Pe'er & Tavaré 2023, Gradient estimation for binary latent variables via gradient "
        "variance clipping"
    )

    def sample(self, latent: Discrete, generator: Generator | None) -> Flipped:
        z = latent.sample(1, generator)[0]
        bits = z.shape[-1]
        u = uniform((*z.shape[:-1], 1), z, generator)
        chosen = torch.arange(bits, device=z.device) == (bits * u).floor()
        return Flipped(flip(z, chosen), chosen)

    def gradient(self, f: Objective, latent: Discrete, draw: Flipped) -> Estimate:
        f_z = f(draw.pair)
        grad = draw.chosen.shape[-1] * bitflip(latent, draw.chosen, f_z)
        return Estimate(averaged(latent, draw.chosen, f_z), grad)
