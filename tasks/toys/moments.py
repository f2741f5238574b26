"""A quadratic of a continuous latent of any family that has two moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...estimators.latents import Continuous, Latent, Objective
from ..contract import Lower
from .closed_form import ClosedForm


class Moments(ClosedForm):
    """f(z) = a · z + (b · z)², so that all sites interact; a is standard normal, b a third of that.

    E f = a · m + (b · m)² + bᵀ C b with the mean m and the covariance C of z.
    """

    name = "moments"
    layer = "{family} {d}"
    hyperparameters = {
        "family": {
            "default": "gaussian",
            "choices": (
                "gaussian",
                "laplace",
                "logistic",
                "gumbel",
                "student-t",
                "uniform",
                "triangular",
                "multivariate-normal",
                "log-normal",
                "gamma",
                "dirichlet",
                "beta",
                "chi-squared",
                "f",
                "exponential",
                "weibull",
                "kumaraswamy",
            ),
            "about": "family of the latent",
        },
        "d": {"default": 3, "min": 1, "max": 1000, "about": "sites"},
    }
    reference = "Paul 2023, sections 1.5 and 1.6"

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.linear, self.square = self.random(self.d, seed=2), self.random(self.d, seed=3) / 3

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: z @ self.linear + (z @ self.square).square()

    def expected(self, latent: Continuous) -> Tensor:
        mean, covariance = latent.mean, latent.covariance
        return mean @ self.linear + (mean @ self.square).square() + (covariance @ self.square) @ self.square
