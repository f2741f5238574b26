"""Augment-REINFORCE: the score in the noise in place of the score in the parameters."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, LatentSpec, Objective


class AugmentReinforce(Estimator):
    """With u ~ U(0, 1)^D, b = 1[u < p]; for sites of K classes π' ~ Dirichlet(1_K), z = argmin_c (log π'_c - φ_c):

    g = f(b) (1 - 2 u), and g = f(z) (1 - K π').

    Both follow from the noise G of z: π' = softmax(-G), and u = σ(-G) for bits. Its mean given z is REINFORCE, so its
    variance is never smaller than that of REINFORCE; ARM, ARS and ARSM couple several such terms.
    """

    formula = (
        r"g = f(b)\,(1 - 2u),\ b = 1[u < p]; \qquad g = f(z)\,(1 - K \pi'),\ z = \operatorname*{argmin}_c "
        r"(\log \pi'_c - \phi_c),\ \pi' \sim \operatorname{Dirichlet}(1_K)"
    )
    name = "ar"
    aliases = ("augment-reinforce",)
    latents = ("bernoulli", "categorical")
    cost = "1 evaluation"
    reference = (
        "Yin & Zhou 2019, ARM: augment-REINFORCE-merge gradient for stochastic binary networks (AR for bits); "
        "Yin, Yue & Zhou 2019, ARSM: augment-REINFORCE-swap-merge estimator (categorical)"
    )

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.classes = spec.classes

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z = f(latent.harden(latent.perturb(draw)))
        weight = 1 - self.classes * latent.relax(-draw, 1.0)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), weight) * weight).mean(0))
