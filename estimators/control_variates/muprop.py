"""MuProp: the first-order Taylor expansion of f at the mean as a control variate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..backward import leaf_of
from ..contract import Estimate, Estimator, expand_right
from ..latents import ExponentialFamily, LatentSpec, Objective


class MuProp(Estimator):
    """With μ(φ) = E z, the mean of z (p for bits, π for categoricals, the marginals of subsets):

    g = (f(z) - η [f(μ) + ∇f(μ)ᵀ(z - μ)]) ∇ log q(z) + η ∇_φ f(μ(φ)).

    η is tuned on the mean of g²; in eval() it is frozen. The paper's additional input-dependent baseline is left out.
    With several stochastic layers, each expands f at its own mean, and the layers below it are sampled.
    """

    formula = (
        r"g = \big(f(z) - \eta\,[f(\mu) + \nabla f(\mu)^\top (z - \mu)]\big) \nabla \log q(z) + \eta\, "
        r"\nabla_\phi f(\mu(\phi)),\quad \mu = \mathbb{E}\, z"
    )
    name = "muprop"
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {"eta": {"default": 1.0, "about": "initial scale of the control variate, then tuned"}}
    cost = "2 evaluations, 1 differentiation"
    reference = "Gu, Levine, Sutskever & Mnih 2016, MuProp, section 3; scale η as in Tucker et al. 2017, REBAR"

    eta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.scale = nn.Parameter(torch.full((), self.eta))

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        f_z, z, score = f(draw), draw[0], latent.score(draw[0])
        with torch.enable_grad():
            leaf = leaf_of(latent.params)
            mean = latent.at(leaf).probs
            f_mean = f(mean.unsqueeze(0))[0]
            slope, path = torch.autograd.grad(f_mean.sum(), (mean, leaf))
        with torch.set_grad_enabled(self.training):
            linear = (slope * (z - mean.detach())).flatten(f_mean.dim()).sum(-1)
            advantage = f_z[0].detach() - self.scale * (f_mean.detach() + linear)
            g = expand_right(advantage, score) * score + self.scale * path
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_z.mean(0), g.detach(), tuning_loss)
