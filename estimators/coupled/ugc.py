"""Unbiased gradient variance clipping: bitflip-1 for nearly certain bits, DisARM for the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .pairs import antithetic, averaged, bitflip, disarm, flip


class Pairs(NamedTuple):
    """The twins b, b', then b⁺, b⁻ [4, *batch, D], and the mask of the bit where b⁺ and b⁻ differ [*batch, D]."""

    z: Tensor
    chosen: Tensor


class Ugc(Estimator):
    """An antithetic pair and an independent bitflip pair at j ~ U{1, ..., D}; each bit uses one of the two gradients:

    g_d = D (f(b⁺) - f(b⁻)) p_d (1 - p_d) 1[d = j]     where min(p_d, 1 - p_d) < 1/(2D),
    g_d = ½ (f(b) - f(b')) (b_d - b'_d) σ(|φ_d|)       elsewhere.

    The variances are equal at the threshold if f(b) - f(b') is the effect of bit d alone. Both pairs are evaluated
    whichever bits use them.
    """

    formula = (
        r"g_d = \begin{cases} D\,(f(b^+) - f(b^-))\, p_d (1 - p_d)\, 1[d = j] & \min(p_d, 1 - p_d) < "
        r"\tfrac{1}{2D} \\ \tfrac12 (f(b) - f(b'))(b_d - b'_d)\, \sigma(|\phi_d|) & \text{elsewhere} "
        r"\end{cases}"
    )
    name = "ugc"
    latents = ("bernoulli",)
    cost = "4 evaluations"
    reference = (
        "Kunes, Yin, Land, Haviv, Pe'er & Tavaré 2023, Gradient estimation for binary latent variables via gradient "
        "variance clipping"
    )

    def sample(self, latent: Discrete, generator: Generator | None) -> Pairs:
        z = latent.sample(1, generator)[0]
        bits = z.shape[-1]
        j = (bits * uniform((*z.shape[:-1], 1), z, generator)).floor()
        chosen = torch.arange(bits, device=z.device) == j
        twins = antithetic(latent, uniform(tuple(z.shape), z, generator))
        return Pairs(torch.cat([twins, flip(z, chosen)]), chosen)

    def gradient(self, f: Objective, latent: Discrete, draw: Pairs) -> Estimate:
        f_z = f(draw.z)
        bits = draw.chosen.shape[-1]
        nearly_certain = (-latent.params.detach().abs()).sigmoid() < 1 / (2 * bits)
        flipped = bits * bitflip(latent, draw.chosen, f_z[2:])
        grad = torch.where(nearly_certain, flipped, disarm(latent, draw.z[:2], f_z[:2]))
        return Estimate((f_z[:2].mean(0) + averaged(latent, draw.chosen, f_z[2:])) / 2, grad)
