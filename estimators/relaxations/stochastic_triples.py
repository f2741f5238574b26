"""Stochastic triples: a draw, an alternative to it, and the infinitesimal probability of that alternative."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, Objective
from ..latents.noise import uniform


class Triple(NamedTuple):
    """z and its alternative y, [2, *batch, *event], and the weights of f(y) - f(z), [*batch, *param_shape]."""

    z: Tensor
    weight: Tensor


RARE = 0.15
"""A class is rare if its probability is below this share of the largest of its site. Below it, an alternative's large
weight costs more variance than the classes' own order saves where f varies slowly along it."""


class StochasticTriples(Estimator):
    """Each site draws its class x by inverting its cdf F. If φ changes, the ends of x's interval move, and x becomes
    y = x - 1 or x + 1 with infinitesimal probability. Averaged over a change of φ and its opposite, the weights are

    v = ½ ∂F_{x-1}/∂φ / π_x for y = x - 1, and v = -½ ∂F_x/∂φ / π_x for y = x + 1:   E Σ_y v (f(y) - f(z)) = ∂E f/∂φ.

    One of the alternatives at all sites is kept, with probability proportional to A = Σ_c |v_c| = P(side) P(other side)
    / π_x, where its side holds all classes beyond x in the direction of y. At its site, and zero at the others,

    g = (f(y) - f(z)) (Σ A) v / A,   v / A = ½ [π given that side - π given the other].

    The classes are numbered in their own order but for rare ones, below .15 of the largest π, which come last in
    descending order of π: x passes over a rare class between two others, as the authors' code does over one of π = 0.
    So A <= 5 K / 3 for every φ; in their own order A, and the variance, grow as 1/π without bound. Unbiased either way.

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
        own = latent.classes(latent.sample(1, generator))
        neighbours, rate, contrast = alternatives(latent, own[0])

        # The least of exponential variables falls on each with probability proportional to its rate. A side without
        # classes has rate 0 and is never the least.
        clock = (uniform(tuple(rate.shape), rate, generator).log().neg() / rate).flatten(-2)
        kept = (torch.arange(clock.shape[-1], device=rate.device) == clock.argmin(-1, keepdim=True)).view_as(rate)
        weight = 0.5 * rate.sum((-2, -1), keepdim=True) * (kept.unsqueeze(-1) * contrast).sum(-2)
        y = torch.where(kept.any(-1), (kept * neighbours).sum(-1), own)
        return Triple(latent.from_classes(torch.cat([own, y])), latent.coordinates(weight))

    def gradient(self, f: Objective, latent: Discrete, draw: Triple) -> Estimate:
        f_z, f_y = f(draw.z)
        return Estimate(f_z, expand_right((f_y - f_z).detach(), draw.weight) * draw.weight)


def alternatives(latent: Discrete, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the classes x [*batch, D]: the classes y before and after them, [*batch, D, 2]; the rates A of these, of the
    same shape; and 2 v / A, π given that side minus π given the other, [*batch, D, 2, K].

    At an end of the order y is x itself, with rate 0.
    """
    log_pi = latent.log_class_probs
    pi, x = log_pi.exp(), x.unsqueeze(-1)
    common = log_pi >= log_pi.amax(-1, keepdim=True) + math.log(RARE)
    order = log_pi.masked_fill(common, 1.0).argsort(dim=-1, descending=True, stable=True)
    place = order.argsort(-1)
    here = place.gather(-1, x)
    y = order.gather(-1, torch.cat([here - 1, here + 1], -1).clamp(0, pi.shape[-1] - 1))
    side = torch.stack([pi * (place < here), pi * (place > here)], -2)
    other = pi.unsqueeze(-2) - side
    p_side, p_other = side.sum(-1), other.sum(-1)
    tiny = torch.finfo(pi.dtype).tiny
    contrast = side / p_side.clamp_min(tiny).unsqueeze(-1) - other / p_other.unsqueeze(-1)
    return y, p_side * p_other / pi.gather(-1, x), contrast
