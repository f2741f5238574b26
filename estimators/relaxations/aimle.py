"""Adaptive implicit MLE: central differences of perturb-and-MAP, with a step that adapts to their sparsity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..averages import move
from ..contract import Claim, Estimate, Estimator
from ..control_variates.leave_one_out import differentiate
from ..latents import ExponentialFamily, LatentSpec, Objective

DECAY = 0.9


class Aimle(Estimator):
    """With θ = log π (φ for bits and subsets), noise ε and MAP as in `imle`, z = MAP(θ + ε) and the same ε throughout,

    g = (1/n) Σ_ε [MAP(θ + λ ∇f(z) + ε) - MAP(θ - λ ∇f(z) + ε)] / (2 λ),   λ = β |φ| / |∇f(z)| for each data point.

    β moves by ± rate per training step, so that a moving average (decay .9) of the number of nonzero entries of g per
    data point stays at `entries`: a small λ gives a small bias, but hardly ever a gradient. In eval() it is frozen. An
    infinite logit counts as 0 in |φ|. On subsets z is no draw of q, as in `imle`.
    """

    formula = (
        r"g = \tfrac1n \sum_\varepsilon \tfrac1{2\lambda} \big[\operatorname{MAP}(\theta + \lambda \nabla f(z) + "
        r"\varepsilon) - \operatorname{MAP}(\theta - \lambda \nabla f(z) + \varepsilon)\big],\quad \lambda = \beta\, "
        r"\frac{\|\phi\|}{\|\nabla f(z)\|}"
    )
    name = "aimle"
    aliases = ("adaptive-imle",)
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {
        "beta": {
            "default": 1.0,
            "min": 0.0,
            "about": "initial β, the length of the step relative to that of the logits",
        },
        "rate": {"default": 1e-3, "min": 0.0, "about": "change of β per training step"},
        "entries": {"default": 1.0, "above": 0.0, "about": "nonzero entries of g per data point that β is adapted to"},
        "n": {"default": 1, "min": 1, "about": "draws of the noise"},
    }
    cost = "n evaluations, n differentiations"
    reference = (
        "Minervini, Franceschi & Niepert 2023, Adaptive perturbation-based gradient estimation for discrete latent "
        "variable models"
    )

    beta: float
    rate: float
    entries: float
    n: int
    scale: Tensor
    nonzero: Tensor

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.register_buffer("scale", torch.tensor(self.beta))
        self.register_buffer("nonzero", torch.tensor(self.entries))

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        return latent.noise(self.n, generator)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        perturbed = latent.perturb(draw).detach()
        f_z, slope = differentiate(f, latent.harden(perturbed))
        logits = latent.params.detach()
        event = tuple(range(-len(self.spec.event_shape), 0))
        size, steepness = (
            torch.linalg.vector_norm(x, dim=event, keepdim=True) for x in (logits.where(logits.isfinite(), 0), slope)
        )
        tiny = torch.finfo(slope.dtype).tiny
        length = self.scale * size
        step = length * slope / steepness.clamp_min(tiny)
        difference = latent.harden(perturbed + step) - latent.harden(perturbed - step)
        return Estimate(f_z.mean(0), (difference * steepness / (2 * length).clamp_min(tiny)).mean(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        assert estimate.grad is not None
        points = max(1, estimate.value.numel())
        move(self.nonzero, (estimate.grad != 0).sum() / points, DECAY)
        self.scale.add_(self.rate * (self.entries - self.nonzero).sign()).clamp_min_(0)
