"""The thermodynamic variational objective."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .bound import weighted_mean


class Tvo(Estimator):
    """log p(x) = ∫_0^1 E_{π_β} log w dβ with w = p(x, z) / q(z), π_β ∝ π̃_β = q w^β, f = -log p(x, z). The bound is the
    left Riemann sum Σ_i (β_{i+1} - β_i) E_{π_{β_i}} log w; with log π̃_β = β log p(x, z) + (1 - β) log q(z)

    ∇ E_{π_β} log w = E_{π_β} ∇ log w + Cov_{π_β}(∇ log π̃_β, log w).

    Moments under π_β are self-normalised over n draws of q, weights softmax(β log w), the covariance times n / (n - 1):
    biased except at β = 0, where the sum is the ELBO and the gradient that of RLOO. The first of the `points` intervals
    starts at 0, the others are log-spaced from `beta` to 1. `value` carries the whole gradient. Where f is infinite at
    a draw, so is the ELBO at β = 0, and the loss with it.
    """

    formula = (
        r"\begin{aligned} \nabla \mathbb{E}_{\pi_\beta} \log w &= \mathbb{E}_{\pi_\beta} \nabla \log w + "
        r"\operatorname{Cov}_{\pi_\beta}(\nabla \log \tilde\pi_\beta, \log w), \\ g &= -\sum_i (\beta_{i+1} - "
        r"\beta_i)\, \nabla \mathbb{E}_{\pi_{\beta_i}} \log w,\quad w = \frac{p(x, z)}{q(z)},\ "
        r"\tilde\pi_\beta = q w^\beta \end{aligned}"
    )
    name = "tvo"
    latents = ("bernoulli", "categorical")
    bound = True
    hyperparameters = {
        "n": {"default": 5, "min": 2, "about": "draws of z"},
        "points": {"default": 2, "min": 1, "about": "intervals of the Riemann sum"},
        "beta": {
            "default": 0.05,
            "above": 0.0,
            "below": 1.0,
            "about": "second inverse temperature, after 0; the others are log-spaced up to 1",
        },
    }
    cost = "n evaluations"
    reference = "Masrani, Le & Wood 2019, The thermodynamic variational objective"

    n: int
    points: int
    beta: float

    def claim(self) -> Claim:
        return Claim(target="bound", unbiased=self.points == 1)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_joint, log_q = -f(draw), latent.log_prob(draw)
        log_w, terms = log_joint - log_q, []
        for beta, width in self.intervals():
            weight = power(log_w, beta).softmax(0).detach()
            mean = weighted_mean(weight, log_w)
            tempered = power(log_joint, beta) + (1 - beta) * log_q
            deviation = (log_w.masked_fill(weight == 0, 0) - mean).detach()
            covariance = self.n / (self.n - 1) * weighted_mean(weight, deviation * tempered)
            unseen = covariance - covariance.detach()  # NaN where the mean is infinite
            terms.append(width * (mean + unseen.masked_fill(mean.isinf(), 0)))
        return Estimate(-torch.stack(terms).sum(0))

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        z = latent.support()
        log_joint, log_q = -f(z), latent.log_prob(z)
        log_w = log_joint - log_q
        means = [
            width * weighted_mean((log_q + power(log_w, beta)).softmax(0), log_w) for beta, width in self.intervals()
        ]
        return -torch.stack(means).sum(0)

    def intervals(self) -> list[tuple[float, float]]:
        """β_i and β_{i+1} - β_i of each interval."""
        grid = [0.0, *(self.beta ** (i / max(1, self.points - 1)) for i in reversed(range(self.points)))]
        return [(left, right - left) for left, right in itertools.pairwise(grid)]


def power(log_w: Tensor, beta: float) -> Tensor:
    """log w^β, with 0^0 = 1."""
    return beta * log_w if beta else torch.zeros_like(log_w)
