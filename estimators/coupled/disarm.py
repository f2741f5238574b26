"""DisARM: an antithetic pair with its shared noise integrated out."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .pairs import antithetic, disarm


class Disarm(Estimator):
    """With u ~ U(0, 1)^D, b = 1[u > 1 - p] and its antithetic twin b' = 1[u < p]:

    g_d = ½ (f(b) - f(b')) (b_d - b'_d) σ(|φ_d|), zero where the twins agree.
    """

    formula = r"g_d = \tfrac12 (f(b) - f(b'))(b_d - b'_d)\, \sigma(|\phi_d|),\quad b = 1[u > 1 - p],\ b' = 1[u < p]"
    name = "disarm"
    aliases = ("u2g",)
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = "Dong, Mnih & Tucker 2020, DisARM, eq. 4; Yin, Ho & Zhou 2020 (U2G)"

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return antithetic(latent, uniform(tuple(latent.params.shape), latent.params, generator))

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return Estimate(f_z.mean(0), disarm(latent, draw, f_z))
