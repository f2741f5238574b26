"""The measure-valued gradient: the positive and the negative part of the derivative of q, each sampled."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator
from ..latents import Continuous, Discrete, Latent, Objective, sites
from ..latents.noise import gumbel
from . import weak_derivatives


class Parts(NamedTuple):
    """The classes of one z [1, *batch, D], and of each site's negative part for the classes 1 to K - 1."""

    own: Tensor
    negative: Tensor


class MeasureValued(Estimator):
    """∂π/∂φ_c = π_c (1 - π_c) (δ_c - π_{-c}), where π_{-c} is π given that the class is not c. With z ~ q and for
    every site d and class c ≥ 1

    g_dc = π_dc (1 - π_dc) (f(z_{-d}, c) - f(z_{-d}, c')),   c' ~ π_{d,-c};   g_d0 = -Σ_{c ≥ 1} g_dc.

    Both parts share z_{-d}. Class 0 needs no evaluations of its own, since a shift of a site's logits changes nothing.
    For bits c' = 0 is certain, and this is `local-expectation`; for more classes it is that with c' sampled instead of
    summed. The value is the mean over d and c of π_dc f(z_{-d}, c) + (1 - π_dc) f(z_{-d}, c').

    For continuous latents the two parts are in weak_derivatives.py; in the cost, K - 1 is the number of parameters per
    site. It works where the score function does not: for a uniform distribution, whose ends move.
    """

    formula = (
        r"g_{dc} = \pi_{dc} (1 - \pi_{dc})\, (f(z_{-d}, c) - f(z_{-d}, c')),\ c' \sim \pi_{d,-c},\ c \ge "
        r"1;\qquad g_{d0} = -\sum_{c \ge 1} g_{dc}"
    )
    name = "measure-valued"
    aliases = ("mvd", "weak-derivative")
    latents = ("bernoulli", "categorical", "continuous")
    cost = "2 * D * (K - 1) evaluations"
    reference = (
        "Pflug 1989, Sampling derivatives of probabilities; Mohamed, Rosca, Figurnov & Mnih 2020, "
        "Monte Carlo Gradient Estimation in Machine Learning, section 6"
    )

    def sample(self, latent: Latent, generator: Generator | None) -> Parts | weak_derivatives.Draw:
        if isinstance(latent, Continuous):
            return weak_derivatives.draw(latent, generator)
        assert isinstance(latent, Discrete)
        log_pi = latent.log_class_probs
        classes = log_pi.shape[-1]
        noise = gumbel((classes - 1, *log_pi.shape), log_pi, generator)
        every = torch.arange(classes, device=log_pi.device)
        excluded = (every[1:].unsqueeze(-1) == every).view(classes - 1, *[1] * (log_pi.dim() - 1), classes)
        negative = (log_pi + noise).masked_fill(excluded, -torch.inf).argmax(-1)
        return Parts(latent.classes(latent.sample(1, generator)), negative)

    def gradient(self, f: Objective, latent: Latent, draw: Parts | weak_derivatives.Draw) -> Estimate:
        if isinstance(draw, weak_derivatives.Draw):
            return weak_derivatives.estimate(f, draw)
        assert isinstance(latent, Discrete)
        pi = latent.log_class_probs.exp()
        count, classes = pi.shape[-2:]
        if classes == 1:  # no class has a derivative, and f is evaluated for its value alone
            return Estimate(f(latent.from_classes(draw.own)).squeeze(0), torch.zeros_like(pi))
        every = torch.arange(1, classes, device=pi.device).view(-1, *[1] * (draw.own.dim() - 1))
        parts = torch.cat([every.expand_as(draw.negative), draw.negative])
        z = latent.from_classes(sites.one_replaced(draw.own, parts).flatten(0, 1))

        f_positive, f_negative = f(z).unflatten(0, (2, classes - 1, count)).movedim((1, 2), (-1, -2))
        pi = pi[..., 1:]
        grad = pi * (1 - pi) * (f_positive - f_negative).detach()
        grad = torch.cat([-grad.sum(-1, keepdim=True), grad], -1)
        return Estimate((pi * f_positive + (1 - pi) * f_negative).mean((-2, -1)), latent.coordinates(grad))
