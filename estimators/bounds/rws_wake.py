"""Reweighted wake-sleep, wake phases of θ and φ."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .bound import expected_bound, log_mean_exp, weighted_score


class RwsWake(Estimator):
    """w_k = p(x, z_k) / q(z_k), v_k = w_k / Σ_j w_j, f = -log p(x, z). θ descends -log (1/n) Σ_k w_k, φ descends

    g = -Σ_k v_k ∇ log q(z_k),

    the self-normalised estimate of ∇_φ KL(p(z given x) || q): biased, less so with more draws. There is no path through
    the log q inside w_k. The target is that KL for φ, and the n-sample bound for the value and θ, which are unbiased.
    """

    formula = (
        r"g = -\sum_k v_k \nabla \log q(z_k),\quad w_k = \frac{p(x, z_k)}{q(z_k)},\ v_k = \frac{w_k}{\sum_j "
        r"w_j}"
    )
    name = "rws-wake"
    aliases = ("wake-wake",)
    latents = ("bernoulli", "categorical")
    bound = True
    hyperparameters = {"n": {"default": 5, "min": 1, "about": "draws of z whose weights are normalised"}}
    cost = "n evaluations"
    reference = (
        "Bornschein & Bengio 2015, Reweighted wake-sleep; Le, Kosiorek, Siddharth, Teh & Wood 2019, Revisiting RWS"
    )

    n: int

    def claim(self) -> Claim:
        return Claim(target="bound", unbiased=False)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_w = -f(draw) - latent.log_prob(draw).detach()
        return Estimate(-log_mean_exp(log_w), -weighted_score(log_w.softmax(0), latent, draw))

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        z = latent.support()
        log_joint, log_q = -f(z), latent.log_prob(z)
        bound = expected_bound(log_q.detach(), log_joint - log_q.detach(), self.n)
        wake = -(log_joint.softmax(0).detach() * log_q).sum(0)
        return -bound + (wake - wake.detach())
