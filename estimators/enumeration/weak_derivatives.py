"""Weak derivatives of continuous distributions: ∂q/∂φ = c (q₊ - q₋), the difference of two that can be sampled.

Gaussian and exponential as in Mohamed, Rosca, Figurnov & Mnih 2020, Monte Carlo Gradient Estimation in Machine
Learning, table 1; the others follow by differentiating the density.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate
from ..latents import Continuous, Gaussian, Objective, sites
from ..latents.continuous import Exponential, Laplace, LogNormal, Uniform
from ..latents.noise import uniform
from ..names import Unsupported


class WeakDerivative(NamedTuple):
    """Draws of every site's z from q₊ and q₋ of each of its P parameters, and c.

    positive, negative: [P, *batch, D]; constant: [*batch, D, P]. For the last parameter q₋ is q itself. Both
    parts are made of the same noise.
    """

    positive: Tensor
    negative: Tensor
    constant: Tensor


class Draw(NamedTuple):
    """One z [1, *batch, D], and the values that replace one of its sites."""

    own: Tensor
    parts: WeakDerivative


def gaussian_parts(gaussian: Gaussian, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Positive and negative parts of ε, [2, *batch, D] each, for loc and log scale.

    ε e^(-ε²/2) is a Rayleigh density on each side of 0, c = 1/√(2π): ±√(-2 log u). ε² N(ε) is the double-sided Maxwell
    density: a sign times the length M of three normals, and M v with v ~ U(0, 1) is half-normal.
    """
    shape, like = gaussian.loc.shape, gaussian.loc
    u, v, side = uniform((3, *shape), like, generator)
    rayleigh = (-2 * u.log()).sqrt()
    three = torch.randn((3, *shape), generator=generator, device=like.device, dtype=like.dtype)
    maxwell = three.norm(dim=0) * (side - 0.5).sign()
    return torch.stack([rayleigh, maxwell]), torch.stack([-rayleigh, maxwell * v])


def of_gaussian(latent: Gaussian | LogNormal, generator: Generator | None) -> WeakDerivative:
    """c = 1/(σ √(2π)) for the location, 1 for log σ; a log-normal z is the exponential of a Gaussian one."""
    gaussian = latent if isinstance(latent, Gaussian) else latent.logarithm
    positive, negative = gaussian_parts(gaussian, generator)
    slope = (-gaussian.log_scale).exp() / (2 * torch.pi) ** 0.5
    constant = torch.stack([slope, torch.ones_like(slope)], -1)
    return WeakDerivative(latent.transform(positive), latent.transform(negative), constant)


def of_laplace(latent: Laplace, generator: Generator | None) -> WeakDerivative:
    """Location: loc ± b E, c = 1/(2 b). log b: |ε| p(ε) is a Gamma(2) density on each side, E + E' and E; c = 1."""
    first, second, side = uniform((3, *latent.loc.shape), latent.loc, generator)
    e, more, sign = -first.log(), -second.log(), (side - 0.5).sign()
    slope = 0.5 * (-latent.log_scale).exp()
    positive, negative = torch.stack([e, sign * (e + more)]), torch.stack([-e, sign * e])
    constant = torch.stack([slope, torch.ones_like(slope)], -1)
    return WeakDerivative(latent.transform(positive), latent.transform(negative), constant)


def of_uniform(latent: Uniform, generator: Generator | None) -> WeakDerivative:
    """low: atoms at the upper and the lower end, c = 1/width. log width: the upper end and q itself, c = 1."""
    u = latent.noise(1, generator)[0]
    slope = (-latent.log_scale).exp()
    positive, negative = torch.ones_like(u).expand(2, *u.shape), torch.stack([torch.zeros_like(u), u])
    constant = torch.stack([slope, torch.ones_like(slope)], -1)
    return WeakDerivative(latent.transform(positive), latent.transform(negative), constant)


def of_exponential(latent: Exponential, generator: Generator | None) -> WeakDerivative:
    """log λ: q - Erlang(2), c = 1, written as -1 times Erlang(2) - q: (E + E') / λ and E / λ."""
    first, second = latent.transform(latent.noise(2, generator))
    return WeakDerivative((first + second).unsqueeze(0), first.unsqueeze(0), -torch.ones_like(latent.params))


OF_FAMILY: dict[str, Callable[..., WeakDerivative]] = {
    "gaussian": of_gaussian,
    "log-normal": of_gaussian,
    "laplace": of_laplace,
    "uniform": of_uniform,
    "exponential": of_exponential,
}


def draw(latent: Continuous, generator: Generator | None) -> Draw:
    """One z and its parts, detached. Raises Unsupported for a family without an entry above."""
    if latent.family not in OF_FAMILY:
        known = ", ".join(OF_FAMILY)
        raise Unsupported(f"no weak derivative of a {latent.family} latent is known here, only of {known}")
    with torch.no_grad():
        return Draw(latent.sample(1, generator), OF_FAMILY[latent.family](latent, generator))


def estimate(f: Objective, drawn: Draw) -> Estimate:
    """g_dp = c_dp (f(z_{-d}, z₊) - f(z_{-d}, z₋)); the value is the mean over d of f(z_{-d}, z₋) for the last p."""
    positive, negative, constant = drawn.parts
    columns, count = constant.shape[-1], constant.shape[-2]
    z = sites.one_replaced(drawn.own, torch.cat([positive, negative])).flatten(0, 1)
    f_positive, f_negative = f(z).unflatten(0, (2, columns, count)).movedim((1, 2), (-1, -2))
    return Estimate(f_negative[..., -1].mean(-1), constant * (f_positive - f_negative).detach())
