"""The exact gradient, by summing over every configuration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from ..contract import Estimate, Estimator, Unsupported, expand_right
from ..latents import ExponentialFamily, LatentSpec, Objective


class Exact(Estimator):
    """∇ Σ_z q(z) f(z) = Σ_z q(z) [f(z) ∇ log q(z) + ∇ f(z)], in blocks of configurations.

    It has no variance and is the reference of every bias test. With f's own parameters frozen, memory holds one block.
    """

    formula = r"g = \sum_z q(z)\, [f(z)\, \nabla \log q(z) + \nabla f(z)]"
    name = "exact"
    aliases = ("enumeration",)
    latents = ("bernoulli", "categorical", "subset")
    hyperparameters = {"block": {"default": 256, "min": 1, "about": "configurations of z evaluated at a time"}}
    cost = "S evaluations (K^D; 2^D for bits, n choose k for subsets)"
    reference = "enumeration; e.g. Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning"
    LIMIT = 2**16

    block: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if spec.configurations > self.LIMIT:
            raise Unsupported(f"{spec} has more than {self.LIMIT} configurations to enumerate")

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> None:
        return None

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: None) -> Estimate:
        value = grad = torch.zeros((), device=latent.params.device, dtype=latent.params.dtype)
        for z in latent.blocks(self.block):
            q, f_z = latent.log_prob(z).detach().exp(), f(z)
            score = latent.score(z)
            value = value + (q * f_z).sum(0)
            grad = grad + (expand_right(q * f_z.detach(), score) * score).sum(0)
        return Estimate(value, grad)
