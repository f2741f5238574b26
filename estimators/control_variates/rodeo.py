"""RODEO: leave-one-out with discrete Stein control variates of a network."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, LatentSpec, Objective
from ..networks import Network
from .leave_one_out import differentiate, leave_one_out


class Rodeo(Estimator):
    """Let x^d be x with bit d flipped. The Gibbs Stein operator A gives mean 0 under q for every h:

    (A h)(x) = (1/D) Σ_d q(x^d_d) [h(x^d) - h(x)].

    With a network of two outputs, H_k(x) = h(mean_{j≠k} f(b_j), mean_{j≠k} ∇f(b_j)ᵀ(x - b_j)), and s(x) = x - p:

    g = (1/n) Σ_k {[f(b_k) - mean_{j≠k} (f(b_j) + α (A H¹_j)(b_j))] s(b_k) + β (A H²_k s)(b_k)}.

    h has two hidden layers of 100 LeakyReLU units and is evaluated n (D + 1) times, f only n times. It starts at
    α = β = 0, where it is RLOO. α, β and h are tuned on the mean of g²; in eval() they are frozen.

    Since x and x^d differ in one bit, s(x^d) = s(x) + (1 - 2 x_d) e_d, and nothing of size D² is formed:
    (A H² s)(x) = (A H²)(x) s(x) + (1/D) Σ_d q(x^d_d) H²(x^d) (1 - 2 x_d) e_d.
    """

    formula = (
        r"\begin{aligned} g &= \tfrac1n \sum_k \Big\{\Big[f(b_k) - \operatorname*{mean}_{j \ne k} \big(f(b_j) "
        r"+ \alpha (A H^1_j)(b_j)\big)\Big] s(b_k) + \beta (A H^2_k s)(b_k)\Big\}, \\ (A h)(x) &= \tfrac1D "
        r"\sum_d q(x^d_d)\, [h(x^d) - h(x)],\quad s(x) = x - p, \\ H_k(x) &= h\Big(\operatorname*{mean}_{j "
        r"\ne k} f(b_j),\ \operatorname*{mean}_{j \ne k} \nabla f(b_j)^\top (x - b_j)\Big) \end{aligned}"
    )
    name = "rodeo"
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {"n": {"default": 2, "min": 2, "about": "draws of z"}}
    cost = "n evaluations, n differentiations"
    reference = "Shi, Zhou, Hwang, Titsias & Mackey 2022, Gradient estimation with discrete Stein operators"

    n: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.beta = nn.Parameter(torch.zeros(()))
        self.h = Network(2, 100, 100, 2, activation=partial(leaky_relu, negative_slope=0.3))

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z, slope = differentiate(f, draw)
        score, flip = latent.score(draw), 1 - 2 * draw
        # With flip = ±1, σ(flip φ_d) is the probability q(x^d_d) of the other value of bit d.
        q_flip = (flip * latent.params.detach()).sigmoid()
        others_f, others_slope = leave_one_out(f_z.detach()), leave_one_out(slope)
        linear = (others_slope * draw).sum(-1, keepdim=True) - leave_one_out((slope * draw).sum(-1, keepdim=True))
        # The second input of H_k is linear in x: flipping bit d adds 1 - 2 x_d times its slope. First the D neighbours
        # of b_k, then b_k itself.
        linears = torch.cat([linear + others_slope * flip, linear], -1)
        with torch.set_grad_enabled(self.training):
            H = self.h(torch.stack([others_f.unsqueeze(-1).expand_as(linears), linears], -1))
            H_flipped, H_here = H[..., :-1, :], H[..., -1:, :]
            stein = (q_flip.unsqueeze(-1) * (H_flipped - H_here)).mean(-2)
            vector_stein = stein[..., 1:] * score + q_flip * H_flipped[..., 1] * flip / draw.shape[-1]
            baseline = leave_one_out(f_z.detach() + self.alpha * stein[..., 0])
            g = (expand_right(f_z.detach() - baseline, score) * score + self.beta * vector_stein).mean(0)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_z.mean(0), g.detach(), tuning_loss)
