"""Continuous latents: one class per family, each with one packed tensor of unconstrained parameters [*batch, D, P]."""

from .continuous import Continuous, FixedNoise
from .gammas import Beta, ChiSquared, Dirichlet, Gamma
from .intervals import Triangular, Uniform
from .inverse_cdf import Exponential, Kumaraswamy, Weibull
from .location_scale import Cauchy, Gaussian, Gumbel, Laplace, Logistic
from .log_normal import LogNormal
from .multivariate_normal import MultivariateNormal
from .quotients import F, StudentT

FAMILIES: dict[str, type[Continuous]] = {
    cls.family: cls
    for cls in (
        *(Gaussian, Laplace, Logistic, Cauchy, Gumbel, StudentT, Uniform, Triangular, MultivariateNormal),
        *(LogNormal, Gamma, Dirichlet, Beta, ChiSquared, F),
        *(Exponential, Weibull, Kumaraswamy),
    )
}

__all__ = [
    "FAMILIES",
    "Beta",
    "Cauchy",
    "ChiSquared",
    "Continuous",
    "Dirichlet",
    "Exponential",
    "F",
    "FixedNoise",
    "Gamma",
    "Gaussian",
    "Gumbel",
    "Kumaraswamy",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MultivariateNormal",
    "StudentT",
    "Triangular",
    "Uniform",
    "Weibull",
]
