"""Implicit maximum likelihood estimation: a finite difference of perturb-and-MAP along the gradient of f."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..backward import once, refuse_transforms
from ..contract import Claim, Estimate, Estimator, expand_right
from ..latents import ExponentialFamily, Objective, expectation


class Imle(Estimator):
    """With θ = log π (φ for bits), noise ε (Gumbel; logistic) and MAP the best class of each site, forward and backward

    z = MAP(θ + τ ε),   g = (1/n) Σ_ε [z - MAP(θ - λ ∇f(z) + τ ε)] / λ   with the same ε.

    Divided by λ it is a finite difference of z in the direction of ∇f, whatever weight the loss gives f. As λ → 0 its
    mean for a bit is p (1 - p) (max(f'(1), 0) + min(f'(0), 0)): exact for linear f, while the variance grows as 1/λ. z
    is a draw of q at τ = 1 only, else of q with logits φ/τ; on subsets, where MAP takes the k largest, it is neither.
    The paper's VAE has λ = τ = 10, which is λ = τ = 1 at φ/10.
    """

    formula = (
        r"g = \tfrac1n \sum_\varepsilon \tfrac1\lambda \big[z - \operatorname{MAP}(\theta - \lambda \nabla "
        r"f(z) + \tau \varepsilon)\big],\quad z = \operatorname{MAP}(\theta + \tau \varepsilon)"
    )
    name = "imle"
    aliases = ("i-mle",)
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {
        "lambd": {"default": 1.0, "above": 0.0, "about": "step of the finite difference along the gradient of f"},
        "tau": {"default": 1.0, "above": 0.0, "about": "scale of the noise; only at 1 is z a draw of q"},
        "n": {"default": 1, "min": 1, "about": "draws of the noise"},
    }
    cost = "n evaluations, n differentiations"
    reference = (
        "Niepert, Minervini & Franceschi 2021, Implicit MLE: backpropagating through discrete exponential family "
        "distributions, algorithm 1"
    )

    lambd: float
    tau: float
    n: int

    def claim(self) -> Claim:
        return Claim(target="discrete" if self.tau == 1 else "other-law", unbiased=False)

    def target(self, f: Objective, latent: ExponentialFamily) -> Tensor:
        return expectation(f, latent.at(latent.params / self.tau))

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        return latent.noise(self.n, generator)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        refuse_transforms()
        z, nothing = _PerturbAndMap.apply(latent.params, latent, self.tau * draw, self.lambd)
        return Estimate((f(z) + nothing).mean(0))


class _PerturbAndMap(torch.autograd.Function):
    """z [n, *batch, *event], and zeros [n, *batch] whose gradient is the weight of each f(z) in the loss."""

    @staticmethod
    def forward(
        ctx: Any, params: Tensor, latent: ExponentialFamily, noise: Tensor, lambd: float
    ) -> tuple[Tensor, Tensor]:
        perturbed = latent.perturb(noise)
        z = latent.harden(perturbed)
        ctx.save_for_backward(perturbed, z)
        ctx.params, ctx.latent, ctx.lambd = params, latent, lambd
        return z, z.new_zeros(z.shape[: z.dim() - len(latent.spec.event_shape)])

    @staticmethod
    def backward(ctx: Any, weighted_slope: Tensor, weight: Tensor) -> tuple[Tensor, None, None, None]:
        perturbed, z = ctx.saved_tensors
        weight = expand_right(weight, z)
        # Autograd delivers the weight of f(z) in the loss times ∇f; the step along ∇f must not depend on that weight.
        slope = weighted_slope / torch.where(weight == 0, 1, weight)
        difference = (z - ctx.latent.harden(perturbed - ctx.lambd * slope)) / ctx.lambd
        return once((weight * difference).sum(0), ctx.params), None, None, None
