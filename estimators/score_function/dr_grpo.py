"""Dr. GRPO: GRPO without the two divisions that bend its gradient."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Objective, Sequence


class DrGrpo(Estimator):
    """g = (1/n) Σ_k (f(z_k) - f̄) (1/T) Σ_t ∇ log q_t, with T the largest length, the same for all sequences.

    E g = (n - 1)/(n T) ∇ E_q f: one factor for all prompts.
    """

    formula = r"g = \tfrac1n \sum_k (f(z_k) - \bar f)\, \tfrac1T \sum_t \nabla \log q_t(z_{kt})"
    name = "dr-grpo"
    latents = ("sequence",)
    hyperparameters = {"n": {"default": 4, "min": 2, "about": "draws of z, the group"}}
    cost = "n evaluations"
    reference = "Liu et al. 2025, Understanding R1-Zero-like training: a critical perspective"

    n: int

    def claim(self) -> Claim:
        return Claim(unbiased=False, proportional=True)

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return scored(f_z.mean(0), latent, draw, (f_z - f_z.mean(0)) / latent.steps)
