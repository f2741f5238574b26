"""Local DisARM: DisARM for each draw of a multi-sample bound, the other draws fixed."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..coupled.pairs import antithetic, disarm
from ..latents import Discrete, Objective
from ..latents.noise import uniform
from .bound import exact_loss, log_mean_exp, log_weights, replaced


class LocalDisarm(Estimator):
    """n antithetic pairs b_k = 1[u_k > 1 - p], b'_k = 1[u_k < p]; w_k = p(x, b_k) / q(b_k), v_k = w_k / Σ_j w_j and
    w'_k of b'_k, f = -log p(x, b). Loss -L with L = log (1/n) Σ_k w_k, and L_k the same with w'_k for w_k:

    g = -Σ_k ½ (L - L_k) (b_k - b'_k) σ(|φ|) + Σ_k v_k ∇ log q(b_k).

    `value` carries the last, the path term. symmetrized: the mean of this and of the same with b and b' exchanged.
    """

    formula = (
        r"\begin{aligned} g &= -\sum_k \tfrac12 (L - L_k)(b_k - b'_k)\, \sigma(|\phi|) + \sum_k v_k \nabla "
        r"\log q(b_k), \\ L &= \log \tfrac1n \sum_j w_j,\quad L_k = \log \tfrac1n \Big(w'_k + \sum_{j \ne k} "
        r"w_j\Big),\quad w = \frac{p(x, b)}{q(b)},\ v_k = \frac{w_k}{\sum_j w_j} \end{aligned}"
    )
    name = "local-disarm"
    latents = ("bernoulli",)
    bound = True
    hyperparameters = {
        "n": {"default": 5, "min": 1, "about": "antithetic pairs of z in the bound"},
        "symmetrized": {
            "default": "no",
            "choices": ("no", "yes"),
            "about": "whether to average over both orders of each pair",
        },
    }
    cost = "2 * n evaluations"
    reference = "Dong, Mnih & Tucker 2020, DisARM, the local version for multi-sample bounds"

    n: int
    symmetrized: str

    def claim(self) -> Claim:
        return Claim(target="bound")

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        logits = latent.params.detach()
        return antithetic(latent, uniform((self.n, *logits.shape), logits, generator))

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        log_w, log_w_twin = log_weights(f, latent, draw.flatten(0, 1)).unflatten(0, (2, self.n))
        sides = [one_sided(latent, draw, log_w, log_w_twin)]
        if self.symmetrized == "yes":
            sides.append(one_sided(latent, draw.flip(0), log_w_twin, log_w))
        bound, slope = (torch.stack(each).mean(0) for each in zip(*sides, strict=True))
        return Estimate(-bound, -slope)

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        return exact_loss(f, latent, self.n)


def one_sided(latent: Discrete, pair: Tensor, log_w: Tensor, log_w_twin: Tensor) -> tuple[Tensor, Tensor]:
    """L [*batch], and Σ_k ½ (L - L_k) (b_k - b'_k) σ(|φ|) [*batch, D]."""
    bound, changed = log_mean_exp(log_w), log_mean_exp(replaced(log_w, log_w_twin))
    return bound, disarm(latent, pair, torch.stack([bound.expand_as(changed), changed])).sum(0)
