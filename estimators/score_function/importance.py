"""The score-function estimator at samples of an earlier policy, corrected by importance ratios."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..control_variates.leave_one_out import leave_one_out
from ..latents import Objective, Sequence
from .stale import ratios


class Importance(Estimator):
    """g = (1/n) Σ_k Σ_t ρ_kt (f(z_k) - b_k) ∇ log q_t, with z_k from the stale policy and b_k the mean of f over the
    other draws.

    per=sequence: ρ = q(z) / stale(z), which is exact. per=token: ρ_t = q_t / stale_t of the token alone, which is
    biased but varies less. Without a stale policy ρ = 1, and this is `rloo`.
    """

    formula = r"g = \tfrac1n \sum_k \sum_t \rho_{kt}\, (f(z_k) - b_k)\, \nabla \log q_t,\quad z_k \sim q_{\text{stale}}"
    name = "importance"
    latents = ("sequence",)
    hyperparameters = {
        "per": {
            "default": "sequence",
            "choices": ("sequence", "token"),
            "about": "ratio of the sequence, or of each token",
        },
        "n": {"default": 2, "min": 2, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Precup, Sutton & Singh 2000, Eligibility traces for off-policy policy evaluation"

    per: str
    n: int

    def claim(self) -> Claim:
        return Claim(unbiased=self.per == "sequence")

    def sample(self, latent: Sequence, generator: Generator | None) -> Tensor:
        return latent.behaviour.sample(self.n, generator)

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z = f(draw)
        value = (ratios(latent, draw, "sequence").squeeze(-1) * f_z).mean(0)
        weight = ratios(latent, draw, self.per) * (f_z - leave_one_out(f_z)).unsqueeze(-1)
        return scored(value, latent, draw, weight)
