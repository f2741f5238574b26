"""The score-function estimator with f at the mode as its baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contract import Estimate, Estimator, scored
from ..latents import ExponentialFamily, Objective, Sequence


class GreedyBaseline(Estimator):
    """g = (1/n) Σ_k (f(z_k) - f(z*)) ∇ log q(z_k), with z* = argmax_z q(z), the greedy configuration.

    z* is not a draw from q: f(z*) is evaluated without a graph and does not enter the value.
    """

    formula = r"g = \tfrac1n \sum_k (f(z_k) - f(z^*))\, \nabla \log q(z_k),\quad z^* = \operatorname*{argmax}_z q(z)"
    name = "greedy-baseline"
    aliases = ("self-critical", "remax")
    latents = ("bernoulli", "categorical", "subset", "sequence")
    hyperparameters = {"n": {"default": 1, "min": 1, "about": "draws of z"}}
    cost = "n + 1 evaluations"
    reference = "Rennie, Marcheret, Mroueh, Ross & Goel 2017, Self-critical sequence training, section 3"

    n: int

    def gradient(self, f: Objective, latent: ExponentialFamily | Sequence, draw: Tensor) -> Estimate:
        f_z = f(draw)
        with torch.no_grad():
            f_greedy = f(latent.greedy)
        return scored(f_z.mean(0), latent, draw, f_z - f_greedy)
