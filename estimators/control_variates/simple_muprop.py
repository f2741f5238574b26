"""SimpleMuProp: f at the mean as a baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contract import Estimate, Estimator, expand_right
from ..latents import ExponentialFamily, LatentSpec, Objective


class SimpleMuProp(Estimator):
    """g = (f(z) - η f(μ)) ∇ log q(z), with μ = E z, the mean of z (p for bits, π for categoricals, the marginals of
    subsets).

    MuProp without its linear term. η is tuned on the mean of g²; in eval() it is frozen.
    """

    formula = r"g = (f(z) - \eta f(\mu))\, \nabla \log q(z),\quad \mu = \mathbb{E}\, z"
    name = "simple-muprop"
    latents = ("bernoulli", "categorical", "subset")
    hyperparameters = {"eta": {"default": 1.0, "about": "initial scale of the baseline, then tuned"}}
    cost = "2 evaluations"
    reference = "Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein 2017, REBAR (there SimpleMuProp)"

    eta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.scale = nn.Parameter(torch.full((), self.eta))

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw[0])
        with torch.no_grad():
            f_mean = f(latent.probs.unsqueeze(0))[0]
        with torch.set_grad_enabled(self.training):
            g = expand_right(f_z[0].detach() - self.scale * f_mean, score) * score
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_z.mean(0), g.detach(), tuning_loss)
