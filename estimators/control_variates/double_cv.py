"""Double control variates: leave-one-out, with f extrapolated linearly from the other draws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, LatentSpec, Objective
from .leave_one_out import differentiate, leave_one_out


class DoubleCv(Estimator):
    """With the slope of the other draws, ḡ_k = mean_{j≠k} ∇f(b_j), and F_k = f(b_k) + α ḡ_kᵀ(b_k - p):

    g = (1/n) Σ_k (F_k - mean_{j≠k} F_j) (b_k - p) - α p (1 - p) mean_k ∇f(b_k).

    It starts at α = 0, where it is RLOO. α is tuned on the mean of g² (in this sign convention the best α is mostly
    negative); in eval() it is frozen.
    """

    formula = (
        r"\begin{aligned} g &= \tfrac1n \sum_k \Big(F_k - \operatorname*{mean}_{j \ne k} F_j\Big)(b_k - p) - "
        r"\alpha\, p(1 - p)\, \operatorname*{mean}_k \nabla f(b_k), \\ F_k &= f(b_k) + \alpha\, \bar g_k^\top "
        r"(b_k - p),\quad \bar g_k = \operatorname*{mean}_{j \ne k} \nabla f(b_j) \end{aligned}"
    )
    name = "double-cv"
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {"n": {"default": 2, "min": 2, "about": "draws of z"}}
    cost = "n evaluations, n differentiations"
    reference = "Titsias & Shi 2022, Double control variates for gradient estimation in discrete latent variable models"

    n: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.alpha = nn.Parameter(torch.zeros(()))

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z, slope = differentiate(f, draw)
        score, p = latent.score(draw), latent.probs.detach()
        with torch.set_grad_enabled(self.training):
            linear = (leave_one_out(slope) * score).sum(-1)
            F = f_z.detach() + self.alpha * linear
            g = (expand_right(F - leave_one_out(F), score) * score).mean(0) - self.alpha * p * (1 - p) * slope.mean(0)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_z.mean(0), g.detach(), tuning_loss)
