"""Thresholded UGC: bitflip-1 among the nearly certain bits only, DisARM for the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .pairs import antithetic, averaged, bitflip, disarm, flip


class Pairs(NamedTuple):
    """The twins b, b', then b⁺, b⁻ [4, *batch, D]; masks [*batch, D] of the bit where b⁺ and b⁻ differ and of the T
    nearly certain bits."""

    z: Tensor
    chosen: Tensor
    nearly_certain: Tensor


class Tugc(Estimator):
    """Bits are ranked by m_d = min(p_d, 1 - p_d), smallest first; the first T, those with m_d < 1/(2 rank_d), are
    nearly certain. From an antithetic pair and an independent bitflip pair at j uniform among those T:

    g_d = T (f(b⁺) - f(b⁻)) p_d (1 - p_d) 1[d = j]     for the nearly certain,
    g_d = ½ (f(b) - f(b')) (b_d - b'_d) σ(|φ_d|)       elsewhere.

    UGC with a factor T in place of D. Both pairs are evaluated whichever bits use them, even if T = 0.
    """

    formula = (
        r"g_d = \begin{cases} T\,(f(b^+) - f(b^-))\, p_d (1 - p_d)\, 1[d = j] & d \text{ among the first } T "
        r"\text{ by } m_d = \min(p_d, 1 - p_d),\ m_d < \tfrac{1}{2 \operatorname{rank}_d} \\ \tfrac12 (f(b) - "
        r"f(b'))(b_d - b'_d)\, \sigma(|\phi_d|) & \text{elsewhere} \end{cases}"
    )
    name = "tugc"
    latents = ("bernoulli",)
    cost = "4 evaluations"
    reference = (
        "Kunes, Yin, Land, Haviv, Pe'er & Tavaré 2023, Gradient estimation for binary latent variables via gradient "
        "variance clipping"
    )

    def sample(self, latent: Discrete, generator: Generator | None) -> Pairs:
        z = latent.sample(1, generator)[0]
        smaller = (-latent.params.detach().abs()).sigmoid()
        rank = smaller.argsort(dim=-1, stable=True).argsort(dim=-1)
        nearly_certain = 2 * (rank + 1) * smaller < 1
        count = nearly_certain.sum(-1, keepdim=True).clamp_min(1)
        chosen = rank == (count * uniform((*z.shape[:-1], 1), z, generator)).floor()
        twins = antithetic(latent, uniform(tuple(z.shape), z, generator))
        return Pairs(torch.cat([twins, flip(z, chosen)]), chosen, nearly_certain)

    def gradient(self, f: Objective, latent: Discrete, draw: Pairs) -> Estimate:
        f_z = f(draw.z)
        flipped = draw.nearly_certain.sum(-1, keepdim=True) * bitflip(latent, draw.chosen, f_z[2:])
        grad = torch.where(draw.nearly_certain, flipped, disarm(latent, draw.z[:2], f_z[:2]))
        return Estimate((f_z[:2].mean(0) + averaged(latent, draw.chosen, f_z[2:])) / 2, grad)
