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

BLOCK = 1024
"""Points per call of the network on the CPU: few enough for their activations to stay in the cache."""


class Rodeo(Estimator):
    """Let x^d be x with bit d flipped. The Gibbs Stein operator A gives mean 0 under q for every h:

    (A h)(x) = (1/D) Σ_d q(x^d_d) [h(x^d) - h(x)].

    With a network h of two outputs, H_k(x) = mean_{j≠k} h(f(b_j), ∇f(b_j)ᵀ(x - b_j)), and s(x) = x - p:

    g = (1/n) Σ_k {[f(b_k) - mean_{j≠k} (f(b_j) + α (A H¹_j)(b_j))] s(b_k) + β (A H²_k s)(b_k)}.

    h has two hidden layers of 100 LeakyReLU units and is evaluated n (n - 1) (D + 1) times, f only n times. It starts
    at α = β = 0, where it is RLOO. α, β and h are tuned on the mean of g²; in eval() they are frozen.

    Since x and x^d differ in one bit, s(x^d) = s(x) + (1 - 2 x_d) e_d, and nothing of size D² is formed:
    (A H² s)(x) = (A H²)(x) s(x) + (1/D) Σ_d q(x^d_d) H²(x^d) (1 - 2 x_d) e_d.

    Of the variants in the authors' code this is the one that they recommend for n > 2, discrete_stein_output_avg.
    """

    formula = (
        r"\begin{aligned} g &= \tfrac1n \sum_k \Big\{\Big[f(b_k) - \operatorname*{mean}_{j \ne k} \big(f(b_j) "
        r"+ \alpha (A H^1_j)(b_j)\big)\Big] s(b_k) + \beta (A H^2_k s)(b_k)\Big\}, \\ (A h)(x) &= \tfrac1D "
        r"\sum_d q(x^d_d)\, [h(x^d) - h(x)],\quad s(x) = x - p, \\ H_k(x) &= \operatorname*{mean}_{j \ne k} "
        r"h\big(f(b_j),\ \nabla f(b_j)^\top (x - b_j)\big) \end{aligned}"
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
        self.h = Network(2, 100, 100, 2, activation=partial(leaky_relu, negative_slope=0.3, inplace=True))

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z, slope = differentiate(f, draw)
        score, flip = latent.score(draw), 1 - 2 * draw
        # With flip = ±1, σ(flip φ_d) is the probability q(x^d_d) of the other value of bit d.
        q_flip = (flip * latent.params.detach()).sigmoid()
        other = other_draws(self.n, draw.device)
        slopes = slope[other]
        linear = (slopes * (draw.unsqueeze(1) - draw[other])).sum(-1, keepdim=True)
        # h(f_j, ∇f_jᵀ(x - b_j)) at the D neighbours of x = b_k, then at b_k itself: flipping bit d adds 1 - 2 x_d times
        # the slope.
        linears = torch.cat([linear + slopes * flip.unsqueeze(1), linear], -1)
        inputs = torch.stack([f_z.detach()[other].unsqueeze(-1).expand_as(linears), linears], -1)
        with torch.set_grad_enabled(self.training):
            H = self.surrogate(inputs).mean(1)
            H_flipped, H_here = H[..., :-1, :], H[..., -1:, :]
            stein = (q_flip.unsqueeze(-1) * (H_flipped - H_here)).mean(-2)
            vector_stein = stein[..., 1:] * score + q_flip * H_flipped[..., 1] * flip / draw.shape[-1]
            baseline = leave_one_out(f_z.detach() + self.alpha * stein[..., 0])
            g = (expand_right(f_z.detach() - baseline, score) * score + self.beta * vector_stein).mean(0)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_z.mean(0), g.detach(), tuning_loss)

    def surrogate(self, inputs: Tensor) -> Tensor:
        """h, [*, 2] -> [*, 2]."""
        points = inputs.flatten(0, -2)
        blocks = points.split(BLOCK) if points.device.type == "cpu" else (points,)
        return torch.cat([self.h(block) for block in blocks]).view_as(inputs)


def other_draws(n: int, device: torch.device) -> Tensor:
    """The n - 1 draws other than k, for each k: [n, n - 1]."""
    k = torch.arange(n, device=device)
    return (k.unsqueeze(-1) + k[1:]) % n
