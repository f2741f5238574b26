"""The score-function estimator without a baseline."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Latent, Objective, class_of


class Reinforce(Estimator):
    """g = (1/n) Σ_k f(z_k) ∇ log q(z_k)."""

    formula = r"g = \tfrac1n \sum_k f(z_k)\, \nabla \log q(z_k)"
    name = "reinforce"
    aliases = ("score-function",)
    latents = ("bernoulli", "categorical", "subset", "sequence", "continuous")
    hyperparameters = {"n": {"default": 1, "min": 1, "about": "draws of z"}}
    cost = "n evaluations"
    reference = "Williams 1992, Simple statistical gradient-following algorithms for connectionist RL"

    n: int

    def claim(self) -> Claim:
        return Claim(finite_variance=class_of(self.spec).finite_score)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return scored(f_z.mean(0), latent, draw, f_z)
