"""PPO: importance ratios per token, clipped where they have moved far enough."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..control_variates.leave_one_out import leave_one_out
from ..latents import Objective, Sequence
from .stale import ratios


class PpoClip(Estimator):
    """The gradient of (1/n) Σ_k Σ_t max(ρ_kt A_k, clip(ρ_kt, 1 - ε, 1 + ε) A_k), A_k = f(z_k) - b_k, z_k from the stale
    policy and b_k the mean of f over the other draws.

    f is a cost, hence the maximum where rewards have a minimum. A token drops out once its ratio ρ = q_t / stale_t is
    above 1 + ε and A < 0, or below 1 - ε and A > 0. At fresh samples ρ = 1, and this is `rloo`.
    """

    formula = (
        r"g = \nabla\, \tfrac1n \sum_k \sum_t \max(\rho_{kt} A_k,\ "
        r"\operatorname{clip}(\rho_{kt}, 1 - \epsilon, 1 + \epsilon)\, A_k)"
    )
    name = "ppo-clip"
    latents = ("sequence",)
    hyperparameters = {
        "epsilon": {"default": 0.2, "above": 0.0, "below": 1.0, "about": "how far a ratio may move from 1"},
        "n": {"default": 2, "min": 2, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Schulman, Wolski, Dhariwal, Radford & Klimov 2017, Proximal policy optimization algorithms, equation 7"

    epsilon: float
    n: int

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: Sequence, generator: Generator | None) -> Tensor:
        return latent.behaviour.sample(self.n, generator)

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z, ratio = f(draw), ratios(latent, draw, "token")
        value = (ratios(latent, draw, "sequence").squeeze(-1) * f_z).mean(0)
        advantage = (f_z - leave_one_out(f_z)).detach().unsqueeze(-1)
        clipped = ((ratio > 1 + self.epsilon) & (advantage < 0)) | ((ratio < 1 - self.epsilon) & (advantage > 0))
        return scored(value, latent, draw, (ratio * advantage).masked_fill(clipped, 0.0))
