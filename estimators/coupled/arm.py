"""ARM: augment-REINFORCE merged over an antithetic pair."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .pairs import antithetic


class Arm(Estimator):
    """With u ~ U(0, 1)^D, b = 1[u > 1 - p] and its antithetic twin b' = 1[u < p]:

    g = (f(b) - f(b')) (u - ½).

    DisARM is its expectation given the twins, so DisARM's variance is never larger.
    """

    formula = r"g = (f(b) - f(b'))\,(u - \tfrac12),\quad b = 1[u > 1 - p],\ b' = 1[u < p],\ u \sim U(0, 1)^D"
    name = "arm"
    aliases = ("augment-reinforce-merge",)
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = "Yin & Zhou 2019, ARM: augment-REINFORCE-merge gradient for stochastic binary networks, theorem 1"

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return uniform(tuple(latent.params.shape), latent.params, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z = f(antithetic(latent, draw))
        return Estimate(f_z.mean(0), expand_right((f_z[0] - f_z[1]).detach(), draw) * (draw - 0.5))
