"""The exact gradient under the sparsemax distribution, which gives most configurations probability 0."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator, Unsupported
from ..latents import Discrete, LatentSpec, Objective

LARGEST = 2.0**20
"""Logits beyond, such as -inf, count as this, to which 1 can be added in float32."""


def sparsemax(logits: Tensor) -> Tensor:
    """The Euclidean projection of `logits` [..., K] on the simplex, max(φ - τ, 0) with τ = (Σ_{c in S} φ_c - 1) / |S|.

    S holds the classes with 1 + r φ_(r) > Σ_{j ≤ r} φ_(j), φ_(r) the r-th largest. Autograd finds its Jacobian,
    diag(1_S) - 1_S 1_Sᵀ / |S|.
    """
    ordered = logits.sort(-1, descending=True).values
    rank = torch.arange(1, logits.shape[-1] + 1, device=logits.device)
    support = 1 + rank * ordered > ordered.cumsum(-1)
    tau = ((ordered * support).sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
    return (logits - tau).clamp_min(0)


class Sparsemax(Estimator):
    """∇ Σ_z s(z) f(z) with s(z) = Π_d sparsemax(φ_d)[z_d] in place of q; a bit has s(1) = clip((φ + 1) / 2, 0, 1).

    s is another distribution than q: it trains a model with a sparse latent, whose gradient is exact and has no
    variance. The paper evaluates f on the support of s; here, for static shapes, on every configuration, in blocks.
    """

    formula = r"g = \nabla \sum_z s(z) f(z),\quad s(z) = \prod_d \operatorname{sparsemax}(\phi_d)[z_d]"
    name = "sparsemax"
    latents = ("bernoulli", "categorical")
    hyperparameters = {"block": {"default": 256, "min": 1, "about": "configurations of z evaluated at a time"}}
    cost = "S evaluations (weight zero outside the support)"
    reference = (
        "Correia, Niculae, Aziz & Martins 2020, Efficient marginalization of discrete and structured latent variables "
        "via sparsity; Martins & Astudillo 2016, From softmax to sparsemax"
    )
    LIMIT = 2**16

    block: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if spec.configurations > self.LIMIT:
            raise Unsupported(f"{spec} has more than {self.LIMIT} configurations to enumerate")

    def claim(self) -> Claim:
        return Claim(target="other-law")

    def target(self, f: Objective, latent: Discrete) -> Tensor:
        """Σ_z s(z) f(z), [*batch]."""
        s = sparsemax(latent.class_logits(latent.params.clamp(-LARGEST, LARGEST)))
        value = torch.zeros((), device=s.device, dtype=s.dtype)
        for z in latent.blocks(self.block):
            site = (latent.class_weights(z) * s).sum(-1)
            value = value + (reduce(torch.mul, site.unbind(-1)) * f(z)).sum(0)
        return value

    def sample(self, latent: Discrete, generator: Generator | None) -> None:
        return None

    def gradient(self, f: Objective, latent: Discrete, draw: None) -> Estimate:
        return Estimate(self.target(f, latent))
