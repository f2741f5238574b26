"""Sum and sample: the most probable configurations are summed exactly, one draw represents the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import ExponentialFamily, LatentSpec, Objective
from .without_replacement import check_listed, draw_rest, log_rest, most_probable


class Weighted(NamedTuple):
    """k configurations [k, *batch, *event] and log of the mass each stands for, [k, *batch]."""

    z: Tensor
    log_weight: Tensor


class SumAndSample(Estimator):
    """With T the k - 1 most probable configurations, and r drawn from q given that it is not in T,

    g = Σ_{t in T} q(t) f(t) ∇ log q(t) + (1 - q(T)) f(r) ∇ log q(r).

    This is Rao-Blackwellised REINFORCE: its variance is never larger, falls as k grows, and is 0 once k reaches the
    number of configurations. As in the paper, there is no baseline. The value weights f in the same way.
    """

    formula = (
        r"g = \sum_{t \in T} q(t) f(t)\, \nabla \log q(t) + (1 - q(T))\, f(r)\, \nabla \log q(r),\quad r \sim "
        r"q(\cdot \mid \text{not in } T)"
    )
    name = "sum-and-sample"
    latents = ("bernoulli", "categorical", "subset")
    hyperparameters = {
        "k": {
            "default": 4,
            "min": 2,
            "about": "configurations evaluated: the k - 1 most probable ones and a draw of the rest",
        }
    }
    cost = "min(k, S) evaluations"
    reference = (
        "Liu, Regier, Tripuraneni, Jordan & McAuliffe 2019, Rao-Blackwellized stochastic gradients for discrete "
        "distributions"
    )

    k: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        check_listed(self.name, spec)

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Weighted:
        log_pi = latent.log_class_probs
        top = most_probable(log_pi, min(self.k, latent.spec.configurations) - 1)
        z = latent.from_classes(torch.cat([top, draw_rest(latent, top, generator)]))
        log_weight = torch.cat([latent.log_prob(z[:-1]).detach(), log_rest(log_pi, top).unsqueeze(0)])
        return Weighted(z, log_weight)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Weighted) -> Estimate:
        weighted = draw.log_weight.exp() * f(draw.z)
        score = latent.score(draw.z)
        return Estimate(weighted.sum(0), (expand_right(weighted.detach(), score) * score).sum(0))
