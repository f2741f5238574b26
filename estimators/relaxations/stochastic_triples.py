"""Stochastic triples: a draw, an alternative to it, and the infinitesimal probability of that alternative."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, Objective
from ..latents.latent import uniform


class Triple(NamedTuple):
    """z and its alternative y, [2, *batch, *event], and the weights of f(y) - f(z), [*batch, *param_shape]."""

    z: Tensor
    weight: Tensor


class StochasticTriples(Estimator):
    """Each site draws its class x by inverting its cdf F. If φ changes, the ends of x's interval move, and x becomes
    y = x - 1 or x + 1 with infinitesimal probability. Averaged over a change of φ and its opposite, the weights are

    v = ½ ∂F_{x-1}/∂φ / π_x for y = x - 1, and v = -½ ∂F_x/∂φ / π_x for y = x + 1:   E Σ_y v (f(y) - f(z)) = ∂E f/∂φ.

    One of the alternatives at all sites is kept, with probability proportional to A = Σ_c |v_c| = P(side) P(other side)
    / π_x, where its side holds all classes beyond x in the direction of y. At its site, and zero at the others,

    g = (f(y) - f(z)) (Σ A) v / A,   v / A = ½ [π given that side - π given the other].

    A bit is a site of classes 0 and 1 with A = |b - p|. The paper's one-sided derivative holds for one direction of dφ;
    the average is linear in dφ, as a gradient must be. The value is f(z) alone, since y does not have distribution q.
    """

    formula = (
        r"g = (f(y) - f(z)) \Big(\sum A\Big) \frac{v}{A},\quad v = \begin{cases} \tfrac12\, \partial_\phi "
        r"F_{x-1} / \pi_x & y = x - 1 \\ -\tfrac12\, \partial_\phi F_x / \pi_x & y = x + 1 \end{cases},\quad "
        r"A = \sum_c |v_c|"
    )
    name = "stochastic-triples"
    latents = ("bernoulli", "categorical")
    cost = "2 evaluations"
    reference = (
        "Arya, Schauer, Schäfer & Rackauckas 2022, Automatic differentiation of programs with discrete randomness "
        "(stochastic derivatives by inversion, pruning)"
    )

    def sample(self, latent: Discrete, generator: Generator | None) -> Triple:
        pi, own = latent.log_class_probs.exp(), latent.classes(latent.sample(1, generator))
        x, c = own[0].unsqueeze(-1), torch.arange(pi.shape[-1], device=pi.device)
        side = torch.stack([pi * (c < x), pi * (c > x)], -2)
        other = pi.unsqueeze(-2) - side
        p_side, p_other = side.sum(-1), other.sum(-1)
        rate = p_side * p_other / pi.gather(-1, x)

        # The least of exponential variables falls on each with probability proportional to its rate. A side without
        # classes has rate 0 and is never the least.
        clock = (uniform(tuple(rate.shape), pi, generator).log().neg() / rate).flatten(-2)
        first = torch.arange(clock.shape[-1], device=pi.device) == clock.argmin(-1, keepdim=True)
        kept = first.view_as(rate).to(pi.dtype)
        tiny = torch.finfo(pi.dtype).tiny
        contrast = side / p_side.clamp_min(tiny).unsqueeze(-1) - other / p_other.unsqueeze(-1)
        weight = 0.5 * rate.sum((-2, -1), keepdim=True) * (kept.unsqueeze(-1) * contrast).sum(-2)
        # If every rate underflows to 0, the alternative kept may not exist; its weight is 0.
        y = (own + (kept[..., 1] - kept[..., 0]).long()).clamp(0, len(c) - 1)
        return Triple(latent.from_classes(torch.cat([own, y])), latent.coordinates(weight))

    def gradient(self, f: Objective, latent: Discrete, draw: Triple) -> Estimate:
        f_z, f_y = f(draw.z)
        return Estimate(f_z, expand_right((f_y - f_z).detach(), draw.weight) * draw.weight)
