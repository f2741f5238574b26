"""The n-sample bound of IWAE with its plain score-function gradient."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .bound import exact_loss, log_mean_exp, log_weights, weighted_score


class Multisample(Estimator):
    """L = log (1/n) Σ_k w_k with w_k = p(x, z_k) / q(z_k) and v_k = w_k / Σ_j w_j, f = -log p(x, z). Loss -L:

    g = -Σ_k (L - v_k) ∇ log q(z_k).

    -v_k is the path through the log q inside w_k, which no bound of n > 1 may drop; `value` carries it.
    """

    formula = (
        r"\begin{aligned} g &= -\sum_k (L - v_k)\, \nabla \log q(z_k), \\ L &= \log \tfrac1n \sum_k w_k,\quad "
        r"w_k = \frac{p(x, z_k)}{q(z_k)},\ v_k = \frac{w_k}{\sum_j w_j} \end{aligned}"
    )
    name = "multisample"
    aliases = ("iwae",)
    latents = ("bernoulli", "categorical")
    bound = True
    hyperparameters = {"n": {"default": 5, "min": 1, "about": "draws of z in the bound"}}
    cost = "n evaluations"
    reference = "Burda, Grosse & Salakhutdinov 2016, Importance weighted autoencoders"

    n: int

    def claim(self) -> Claim:
        return Claim(target="bound")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_w = log_weights(f, latent, draw)
        bound = log_mean_exp(log_w)
        return Estimate(-bound, -weighted_score(bound.expand_as(log_w), latent, draw))

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        return exact_loss(f, latent, self.n)
