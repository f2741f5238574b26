"""The Gumbel-entmax relaxation: relaxed samples with exact zeros."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective


class GumbelEntmax(Estimator):
    """∇_φ f(entmax_α((log π + G) / τ)); a bit is the second of two classes with perturbed logits (0, φ + logistic).

    alpha=1.5 is the smallest α with an exact algorithm, alpha=2 is sparsemax, and α → 1 would be the Gumbel-softmax. A
    sample that is already one-hot has no gradient. As for `gumbel-softmax`, f must accept relaxed z, and this is the
    gradient of the relaxed objective, not of E_q f.
    """

    formula = r"g = \nabla_\phi f\big(\operatorname{entmax}_\alpha((\log \pi + G) / \tau)\big)"
    name = "gumbel-entmax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "tau": {"default": 1.0, "above": 0.0, "about": "temperature of the relaxation"},
        "alpha": {"default": 1.5, "choices": (1.5, 2.0), "about": "exponent of the entmax; 2 is sparsemax"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Peters, Niculae & Martins 2019, Sparse sequence-to-sequence models (exact 1.5-entmax and its Jacobian); "
        "Martins & Astudillo 2016, From softmax to sparsemax, algorithm 1"
    )

    tau: float
    alpha: float

    def claim(self) -> Claim:
        return Claim(target="own-relaxed")

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        weights = entmax(latent.class_logits(latent.perturb(draw) / self.tau), self.alpha)
        return Estimate(f(latent.coordinates(weights)).mean(0))


def entmax(x: Tensor, alpha: float) -> Tensor:
    """y = [(α - 1) x - t]₊^(1/(α-1)) with the t that makes Σ y = 1, for α = 1.5 or 2, over the last dimension.

    t solves the equation for the largest entries of x, as many as exceed it. Backward diag(s) - s sᵀ / Σ s, where
    s = y^(2-α) on the support and 0 elsewhere.
    """
    with torch.no_grad():
        scaled = ((alpha - 1) * (x - x.amax(-1, keepdim=True))).clamp_min(-1)
        largest = scaled.sort(-1, descending=True).values
        count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
        mean = largest.cumsum(-1) / count
        if alpha == 2:
            threshold = mean - 1 / count
        else:
            variance = largest.square().cumsum(-1) / count - mean.square()
            threshold = mean - (1 / count - variance).clamp_min(0).sqrt()
        support = (threshold <= largest).sum(-1, keepdim=True)
        above = (scaled - threshold.gather(-1, support - 1)).clamp_min(0)
        y = above ** (1 / (alpha - 1))
        s = torch.where(above > 0, y ** (2 - alpha), 0)
    x = x.masked_fill(s == 0, 0)
    moved = s * (x - (s * x).sum(-1, keepdim=True) / s.sum(-1, keepdim=True))
    return y + (moved - moved.detach())
