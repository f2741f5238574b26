"""The score-function estimator with the mean of the group, the own draw included, as its baseline."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Latent, Objective


class GroupMean(Estimator):
    """g = (1/n) Σ_k (f(z_k) - f̄) ∇ log q(z_k), with f̄ the mean of all n draws.

    The own draw in f̄ takes 1/n of the gradient: E g = (n - 1)/n ∇ E_q f, the same factor for all prompts. `rloo` is
    this estimator without the factor. The public code of SFESS has this baseline on subsets.
    """

    formula = r"g = \tfrac1n \sum_k (f(z_k) - \bar f)\, \nabla \log q(z_k)"
    name = "group-mean"
    latents = ("subset", "sequence")
    hyperparameters = {"n": {"default": 4, "min": 2, "about": "draws of z, the group"}}
    cost = "n evaluations"
    reference = "the baseline of Shao et al. 2024, DeepSeekMath, without the division by the standard deviation"

    n: int

    def claim(self) -> Claim:
        return Claim(unbiased=False, proportional=True)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return scored(f_z.mean(0), latent, draw, f_z - f_z.mean(0))
