"""The score-function estimator with a leave-one-out baseline."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Latent, Objective, class_of


class Rloo(Estimator):
    """g = (1/(n-1)) Σ_k (f(z_k) - f̄) ∇ log q(z_k): each draw's baseline is the mean of the others.

    On subsets this is SFESS, with the score z - μ(φ), μ the marginals.
    """

    formula = r"g = \frac{1}{n - 1} \sum_k (f(z_k) - \bar f)\, \nabla \log q(z_k)"
    name = "rloo"
    aliases = ("loorf", "leave-one-out", "sfess")
    latents = ("bernoulli", "categorical", "subset", "sequence", "continuous")
    hyperparameters = {"n": {"default": 2, "min": 2, "about": "draws of z"}}
    cost = "n evaluations"
    reference = (
        "Salimans & Knowles 2014; Kool, van Hoof & Welling 2019, Buy 4 REINFORCE samples, get a baseline for free; "
        "Wijk, Vinuesa & Azizpour 2025, SFESS: score function estimators for k-subset sampling"
    )

    n: int

    def claim(self) -> Claim:
        return Claim(finite_variance=class_of(self.spec).finite_score)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return scored(f_z.mean(0), latent, draw, (f_z - f_z.mean(0)) / (self.n - 1), mean=False)
