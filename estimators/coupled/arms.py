"""ARMS: n mutually antithetic draws."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, Objective
from ..latents.noise import uniform


class Arms(Estimator):
    """n draws of each bit, any two of them negatively dependent, with P₁₁ = P(both are 1):

    g = (1/(n-1)) Σ_i (f(b_i) - f̄) (b_i - p) · p (1 - p) / (p - P₁₁).

    This is RLOO on dependent draws; the last factor corrects the bias of the dependence. With m = min(p, 1 - p),
    b_i = 1[v_i < m] if p < ½ and 1[v_i ≥ m] otherwise, the factor is σ(|φ|) / (1 - P(v_1 < m, v_2 < m) / m), where

    dirichlet: v_i = (1 - d_i)^(n-1), d ~ Dirichlet(1_n);    P(v_1 < m, v_2 < m) / m = max(2 - m^(-1/(n-1)), 0)^(n-1)
    gaussian:  v_i = Φ(x_i), x normal with correlations -1/(n-1);    the bivariate normal cdf (`_both_normals_low`)

    At n = 2 both are DisARM.
    """

    formula = (
        r"g = \frac{1}{n - 1} \sum_i (f(b_i) - \bar f)\,(b_i - p)\, \frac{p (1 - p)}{p - P_{11}},\quad P_{11} "
        r"= P(b_i = b_j = 1)"
    )
    name = "arms"
    latents = ("bernoulli",)
    hyperparameters = {
        "n": {"default": 4, "min": 2, "about": "antithetic draws of z"},
        "copula": {
            "default": "dirichlet",
            "choices": ("dirichlet", "gaussian"),
            "about": "copula of the draws of a bit",
        },
    }
    cost = "n evaluations"
    reference = "Dimitriev & Zhou 2021, ARMS: Antithetic-REINFORCE-Multi-Sample gradient for binary variables"

    n: int
    copula: str

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        logits, shape = latent.params.detach(), (self.n, *latent.params.shape)
        if self.copula == "dirichlet":
            # -log u is Exp(1), and exponentials divided by their sum are Dirichlet(1_n).
            share = uniform(shape, logits, generator).log()
            share = share / share.sum(0)
            low = (self.n - 1) * torch.log1p(-share) < logsigmoid(-logits.abs())
        else:
            x = torch.randn(shape, generator=generator, device=logits.device, dtype=logits.dtype)
            # Subtracting the mean leaves normals with correlations -1/(n-1); the factor makes their variance 1.
            low = (x - x.mean(0)) * math.sqrt(self.n / (self.n - 1)) < _quantile(logits)
        return torch.where(logits < 0, low, ~low).to(logits.dtype)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z, score, logits = f(draw), latent.score(draw), latent.params.detach()
        advantage = (f_z - f_z.mean(0)).detach() / (self.n - 1)
        both_low = _both_uniforms_low if self.copula == "dirichlet" or self.n == 2 else _both_normals_low
        factor = logits.abs().sigmoid() / (1 - both_low(logits, self.n))
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).sum(0) * factor)


def _both_uniforms_low(logits: Tensor, n: int) -> Tensor:
    """P(v_1 < m, v_2 < m) / m = max(2 - m^(-1/(n-1)), 0)^(n-1)."""
    return (2 - (-logsigmoid(-logits.abs()) / (n - 1)).exp()).clamp_min(0) ** (n - 1)


def _both_normals_low(logits: Tensor, n: int) -> Tensor:
    """Φ₂(t, t; ρ) / m for t = Φ⁻¹(m) and ρ = -1/(n-1), n > 2. With r = -sin θ in Plackett's dΦ₂/dr = φ₂(t, t; r),

    Φ₂(t, t; ρ) / m = m - ∫ exp(-½ t² (1 + sin θ) / (1 - sin θ)) dθ / (π erfcx(-t/√2)) over 0 < θ < arcsin(1/(n-1)),

    which ten Gauss-Legendre points give to rounding in float64.
    """
    t = _quantile(logits)
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = 0.5 * math.asin(1 / (n - 1))
    integral = torch.zeros_like(t)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        sine = math.sin(half * (1 + node))
        integral = integral + half * weight * (-0.5 * (1 + sine) / (1 - sine) * t.square()).exp()
    # erfcx in place of Φ(t): the factor exp(-t²/2) of m, which underflows, is cancelled in the integrand.
    return (-logits.abs()).sigmoid() - integral / (math.pi * torch.special.erfcx(-t / math.sqrt(2)))


def _quantile(logits: Tensor) -> Tensor:
    """Φ⁻¹(m), m = min(p, 1 - p)."""
    return torch.special.ndtri((-logits.abs()).sigmoid().clamp_min(torch.finfo(logits.dtype).tiny))
