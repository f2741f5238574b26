"""A KL penalty in the loss: β k is added to the loss of `rloo` and differentiated as it stands."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, scored
from ..control_variates.leave_one_out import leave_one_out
from ..latents import Objective, Sequence
from .kl import SLOPE, Penalised, log_ratios, penalised_value


class KlInLoss(Penalised):
    """g = (1/n) Σ_k Σ_t (f(z_k) - b_k + β k'_kt) ∇ log q_t, with k' the derivative of k in log q and b_k the mean of f
    over the other draws.

    Differentiating k(log q - log reference) at a draw leaves out that the draws move with q. So k1 adds nothing but
    noise (E k1' ∇ log q = 0), k2 per sequence adds exactly β ∇ KL(q || reference), and k3 per sequence adds
    β ∇ KL(reference || q). Per token, k2 credits each token with its own log-ratio alone.
    """

    formula = r"g = \tfrac1n \sum_k \sum_t (f(z_k) - b_k + \beta\, k'_{kt})\, \nabla \log q_t"
    name = "kl-in-loss"
    latents = ("sequence",)
    hyperparameters = {
        "k": {"default": "k2", "choices": ("k1", "k2", "k3"), "about": "estimate of the KL"},
        "per": {
            "default": "sequence",
            "choices": ("token", "sequence"),
            "about": "k of each token, or of the sequence",
        },
        "n": {"default": 2, "min": 2, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Schulman 2020, Approximating KL divergence; Shao et al. 2024, DeepSeekMath, equation 4 (k3 per token)"

    k: str
    per: str
    n: int

    def claim(self) -> Claim:
        return Claim(target="penalised", unbiased=(self.k, self.per) == ("k2", "sequence"))

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z, log_ratio = f(draw), log_ratios(latent, draw, self.per)
        weight = (f_z - leave_one_out(f_z)).unsqueeze(-1) + latent.beta * SLOPE[self.k](log_ratio)
        return scored(penalised_value(f_z, log_ratio, latent.beta), latent, draw, weight)
