"""Direct loss minimisation: a finite difference of the argmax along f itself."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective, sites


class DirectLoss(Estimator):
    """With Gumbel noise G, z = argmax(φ + G) site by site, and f_dc = f(z with site d set to class c):

    g_d = (1/ε) [z_d - argmax_c (φ_dc + G_dc - ε f_dc)]   with the same G;

    a bit has the classes 0 and 1 with φ + G = (0, φ + logistic). Given the other sites its mean is
    (π_d - softmax(φ_d - ε f_d)) / ε, which tends to the exact gradient as ε → 0 while the variance grows as 1/ε. f need
    not be differentiable. z is one of the K configurations of every site. The value is the mean of Σ_c π_dc f_dc.
    """

    formula = (
        r"g_d = \tfrac1\varepsilon \Big[z_d - \operatorname*{argmax}_c (\phi_{dc} + G_{dc} - \varepsilon "
        r"f_{dc})\Big],\quad z = \operatorname{argmax}(\phi + G),\ f_{dc} = f(z_{-d}, c)"
    )
    name = "direct-loss"
    aliases = ("direct-optimization",)
    latents = ("bernoulli", "categorical")
    hyperparameters = {"eps": {"default": 1.0, "above": 0.0, "about": "step of the finite difference along f"}}
    cost = "D * (K - 1) + 1 evaluations"
    reference = (
        "Lorberbaum, Gane, Jaakkola & Hazan 2019, Direct optimization through arg max for discrete variational "
        "auto-encoder, theorem 1"
    )

    eps: float

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return latent.noise(1, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        perturbed = latent.perturb(draw).detach()
        own = latent.classes(latent.harden(perturbed))
        pi = latent.log_class_probs.exp()
        f_class = sites.every_class(f, latent, own)
        moved = (latent.class_logits(perturbed[0]) - self.eps * f_class.detach()).argmax(-1, keepdim=True)
        every = torch.arange(pi.shape[-1], device=pi.device)
        grad = ((every == own[0].unsqueeze(-1)).to(pi.dtype) - (every == moved).to(pi.dtype)) / self.eps
        return Estimate((pi * f_class).sum(-1).mean(-1), latent.coordinates(grad))
