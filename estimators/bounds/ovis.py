"""OVIS: near-optimal baselines for the n-sample bound, in their asymptotic form."""

from __future__ import annotations

import math

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .bound import baseline, exact_loss, leave_one_out, log_mean_exp, log_weights, weighted_score


class Ovis(Estimator):
    """L = log (1/n) Σ_k w_k with w_k = p(x, z_k) / q(z_k) and v_k = w_k / Σ_j w_j, f = -log p(x, z). Loss -L:

    g = -Σ_k (L - v_k - c_k) ∇ log q(z_k),
    c_k = L - log((1 - 1/n) / (1 - v_k)) - γ v_k + (1 - γ) log(1 - 1/n).

    The optimum for large effective sample sizes is near γ = 1, for small ones near γ = 0. It is unbiased at γ = 0 only:
    else c_k depends on z_k and removes γ of the path term -v_k. L + log(1 - v_k) depends on the other weights only.
    """

    formula = (
        r"\begin{aligned} g &= -\sum_k (L - v_k - c_k)\, \nabla \log q(z_k), \\ c_k &= L - \log \frac{1 - "
        r"1/n}{1 - v_k} - \gamma v_k + (1 - \gamma) \log(1 - \tfrac1n), \\ L &= \log \tfrac1n \sum_k "
        r"w_k,\quad w_k = \frac{p(x, z_k)}{q(z_k)},\ v_k = \frac{w_k}{\sum_j w_j} \end{aligned}"
    )
    name = "ovis"
    latents = ("bernoulli", "categorical")
    bound = True
    hyperparameters = {
        "n": {"default": 5, "min": 2, "about": "draws of z in the bound"},
        "gamma": {
            "default": 1.0,
            "min": 0.0,
            "max": 1.0,
            "about": "near 1 for large effective sample sizes, near 0 for small ones; 0 is unbiased",
        },
    }
    cost = "n evaluations"
    reference = "Liévin, Dittadi, Christensen & Winther 2020, Optimal variance control of the score-function gradient"

    n: int
    gamma: float

    def claim(self) -> Claim:
        return Claim(target="bound", unbiased=self.gamma == 0)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_w = log_weights(f, latent, draw)
        bound = log_mean_exp(log_w)
        control = baseline(leave_one_out(log_w.detach())) + (1 - self.gamma) * math.log1p(-1 / self.n)
        signal = bound - control + self.gamma * log_w.softmax(0)
        return Estimate(-bound, -weighted_score(signal, latent, draw))

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        return exact_loss(f, latent, self.n)
