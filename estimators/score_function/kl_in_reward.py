"""A KL penalty in the reward: the score-function estimator of f + β k, with a leave-one-out baseline."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..contract import Claim, Estimate, scored
from ..control_variates.leave_one_out import leave_one_out
from ..latents import LatentSpec, Objective, Sequence
from ..names import UsageError
from .kl import OF_LOG_RATIO, Penalised, log_ratios, penalised_value


class KlInReward(Penalised):
    """g = (1/n) Σ_k Σ_t (f(z_k) + β c_kt - b_k) ∇ log q_t, with b_k the mean of f + β Σ_t k_t over the other draws.

    The credit c_kt of a token is the k of the whole sequence, or with credit=to-go that of this token and all later
    ones. per=token adds the k of every token; per=sequence takes k of log q(z) - log reference(z), and k1 is the same
    in both. For the objective E f + β KL(q || reference), k1 is unbiased under either credit. k3 per sequence gives
    ∇ KL(q || reference) - ∇ KL(reference || q) in place of ∇ KL(q || reference).

    Raises UsageError for per=sequence with credit=to-go: the k of a whole sequence has no later part.
    """

    formula = (
        r"g = \tfrac1n \sum_k \sum_t (f(z_k) + \beta c_{kt} - b_k)\, \nabla \log q_t,\quad "
        r"c_{kt} = \textstyle\sum_s k_{ks}\ \text{or}\ \sum_{s \ge t} k_{ks}"
    )
    name = "kl-in-reward"
    latents = ("sequence",)
    hyperparameters = {
        "k": {"default": "k1", "choices": ("k1", "k2", "k3"), "about": "estimate of the KL"},
        "per": {"default": "token", "choices": ("token", "sequence"), "about": "k of each token, or of the sequence"},
        "credit": {
            "default": "whole",
            "choices": ("whole", "to-go"),
            "about": "a token is credited with the k of all tokens, or of itself and later ones",
        },
        "n": {"default": 2, "min": 2, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Schulman 2020, Approximating KL divergence; Ouyang et al. 2022, Training language models, section 3.5"

    k: str
    per: str
    credit: str
    n: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if self.per == "sequence" and self.credit == "to-go":
            raise UsageError(
                f"{self.name}: the k of a whole sequence has no part to go; take per=token or credit=whole"
            )

    def claim(self) -> Claim:
        return Claim(target="penalised", unbiased=self.k == "k1")

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z, log_ratio = f(draw), log_ratios(latent, draw, self.per)
        penalty = latent.beta * OF_LOG_RATIO[self.k](log_ratio)
        whole = penalty.sum(-1)
        credit = whole.unsqueeze(-1) if self.credit == "whole" else penalty.flip(-1).cumsum(-1).flip(-1)
        weight = (f_z - leave_one_out(f_z + whole)).unsqueeze(-1) + credit
        return scored(penalised_value(f_z, log_ratio, latent.beta), latent, draw, weight)
