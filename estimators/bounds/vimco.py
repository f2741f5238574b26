"""VIMCO: the n-sample bound with a baseline per draw, made of the other draws."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .bound import (
    baseline,
    exact_loss,
    leave_one_out,
    log_mean_exp,
    log_weights,
    mean_of_others,
    replaced,
    weighted_score,
)


class Vimco(Estimator):
    """L = log (1/n) Σ_k w_k with w_k = p(x, z_k) / q(z_k) and v_k = w_k / Σ_j w_j, f = -log p(x, z). Loss -L:

    g = -Σ_k (L - L_{-k} - v_k) ∇ log q(z_k),   L_{-k} = log (1/n) (ŵ_k + Σ_{j≠k} w_j),

    ŵ_k the geometric or the arithmetic mean of the other n - 1 weights. `value` carries the path term v_k. L_{-k} is 0
    where no other draw has any weight.
    """

    formula = (
        r"\begin{aligned} g &= -\sum_k (L - L_{-k} - v_k)\, \nabla \log q(z_k), \\ L &= \log \tfrac1n \sum_j "
        r"w_j,\quad L_{-k} = \log \tfrac1n \Big(\hat w_k + \sum_{j \ne k} w_j\Big),\quad w_k = \frac{p(x, "
        r"z_k)}{q(z_k)},\ v_k = \frac{w_k}{\sum_j w_j} \end{aligned}"
    )
    name = "vimco"
    latents = ("bernoulli", "categorical")
    bound = True
    hyperparameters = {
        "n": {"default": 5, "min": 2, "about": "draws of z in the bound"},
        "mean": {
            "default": "geometric",
            "choices": ("geometric", "arithmetic"),
            "about": "mean of the other weights that replaces a draw's own in its baseline",
        },
    }
    cost = "n evaluations"
    reference = "Mnih & Rezende 2016, Variational inference for Monte Carlo objectives"

    n: int
    mean: str

    def claim(self) -> Claim:
        return Claim(target="bound")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_w = log_weights(f, latent, draw)
        bound = log_mean_exp(log_w)
        signal = bound - self.baseline(log_w.detach())
        return Estimate(-bound, -weighted_score(signal, latent, draw))

    def baseline(self, log_w: Tensor) -> Tensor:
        """L_{-k}, [n, *batch]; with the arithmetic mean it is the logarithm of the mean of the others' weights."""
        if self.mean == "arithmetic":
            return baseline(leave_one_out(log_w))
        return baseline(log_mean_exp(replaced(log_w, mean_of_others(log_w))))

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        return exact_loss(f, latent, self.n)
