"""A cosine of a continuous latent, known from the characteristic function of its distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...estimators.latents import Continuous, Latent, Objective
from ..contract import Lower
from .closed_form import ClosedForm


def _gaussian(params: Tensor, k: float) -> Tensor:
    loc, scale = params[..., 0], params[..., 1].exp()
    return (k * loc).cos() * (-0.5 * (k * scale).square()).exp()


def _cauchy(params: Tensor, k: float) -> Tensor:
    loc, scale = params[..., 0], params[..., 1].exp()
    return (k * loc).cos() * (-k * scale).exp()


def _laplace(params: Tensor, k: float) -> Tensor:
    loc, scale = params[..., 0], params[..., 1].exp()
    return (k * loc).cos() / (1 + (k * scale).square())


def _logistic(params: Tensor, k: float) -> Tensor:
    loc, t = params[..., 0], math.pi * k * params[..., 1].exp()
    return (k * loc).cos() * t / t.sinh()


def _uniform(params: Tensor, k: float) -> Tensor:
    low, width = params[..., 0], params[..., 1].exp()
    return (k * (low + width / 2)).cos() * torch.sinc(k * width / (2 * math.pi))


def _triangular(params: Tensor, k: float) -> Tensor:
    low, width = params[..., 0], params[..., 1].exp()
    return (k * (low + width / 2)).cos() * torch.sinc(k * width / (4 * math.pi)).square()


def _gamma(params: Tensor, k: float) -> Tensor:
    a, t = params[..., 0].exp(), k * (-params[..., 1]).exp()
    return (1 + t.square()) ** (-a / 2) * (a * t.atan()).cos()


def _exponential(params: Tensor, k: float) -> Tensor:
    return 1 / (1 + (k * (-params[..., 0]).exp()).square())


EXPECTED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "gaussian": _gaussian,
    "cauchy": _cauchy,
    "laplace": _laplace,
    "logistic": _logistic,
    "uniform": _uniform,
    "triangular": _triangular,
    "gamma": _gamma,
    "exponential": _exponential,
}
"""E cos(k z) of each site, the real part of the characteristic function at k."""


class Cosine(ClosedForm):
    """f(z) = Σ_d cos(k z_d): bounded, so that it has a gradient even if z has no moments (a Cauchy latent)."""

    name = "cosine"
    layer = "{family} {d}"
    hyperparameters = {
        "family": {
            "default": "gaussian",
            "choices": ("gaussian", "cauchy", "laplace", "logistic", "uniform", "triangular", "gamma", "exponential"),
            "about": "family of the latent",
        },
        "k": {"default": 1.0, "above": 0.0, "about": "frequency"},
        "d": {"default": 2, "min": 1, "max": 1000, "about": "sites"},
    }
    reference = "Mohamed, Rosca, Figurnov & Mnih 2020, section 3"

    k: float

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (self.k * z).cos().sum(-1)

    def expected(self, latent: Continuous) -> Tensor:
        return EXPECTED[self.family](latent.params, self.k).sum(-1)
