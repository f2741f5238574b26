"""The distribution of every continuous family as scipy has it, at natural parameters of two sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from dvae_bench.estimators.latents import FAMILIES, Continuous
from scipy import stats
from torch import Tensor

NATURAL: dict[str, dict[str, list[Any]]] = {
    "gaussian": {"loc": [0.3, -1.0], "scale": [0.7, 1.6]},
    "laplace": {"loc": [0.3, -1.0], "scale": [0.7, 1.6]},
    "logistic": {"loc": [0.3, -1.0], "scale": [0.7, 1.6]},
    "cauchy": {"loc": [0.3, -1.0], "scale": [0.7, 1.6]},
    "gumbel": {"loc": [0.3, -1.0], "scale": [0.7, 1.6]},
    "student-t": {"loc": [0.3, -1.0], "scale": [0.7, 1.6], "df": [3.5, 12.0]},
    "uniform": {"low": [0.3, -1.0], "width": [0.7, 1.6]},
    "triangular": {"low": [0.3, -1.0], "width": [0.7, 1.6]},
    "multivariate-normal": {"loc": [0.3, -1.0], "scale_tril": [[0.7, 0.0], [-0.4, 1.6]]},
    "log-normal": {"loc": [0.3, -1.0], "scale": [0.7, 0.4]},
    "gamma": {"concentration": [0.4, 3.0], "rate": [0.7, 1.6]},
    "dirichlet": {"concentration": [0.4, 3.0]},
    "beta": {"concentration1": [0.4, 3.0], "concentration0": [0.7, 1.6]},
    "chi-squared": {"df": [0.8, 5.0]},
    "f": {"df1": [0.8, 5.0], "df2": [4.5, 12.0]},
    "exponential": {"rate": [0.7, 1.6]},
    "weibull": {"scale": [0.7, 1.6], "concentration": [0.8, 2.5]},
    "kumaraswamy": {"concentration1": [0.8, 2.5], "concentration0": [0.7, 1.6]},
}


class _Kumaraswamy(stats.rv_continuous):
    """scipy has none: from its CDF."""

    def _cdf(self, z: Any, a: Any, b: Any) -> Any:
        return 1 - (1 - z**a) ** b

    def _pdf(self, z: Any, a: Any, b: Any) -> Any:
        return a * b * z ** (a - 1) * (1 - z**a) ** (b - 1)


KUMARASWAMY = _Kumaraswamy(a=0.0, b=1.0, name="kumaraswamy")
SCIPY: dict[str, Callable[..., Any]] = {
    "gaussian": lambda loc, scale: stats.norm(loc, scale),
    "laplace": lambda loc, scale: stats.laplace(loc, scale),
    "logistic": lambda loc, scale: stats.logistic(loc, scale),
    "cauchy": lambda loc, scale: stats.cauchy(loc, scale),
    "gumbel": lambda loc, scale: stats.gumbel_r(loc, scale),
    "student-t": lambda loc, scale, df: stats.t(df, loc, scale),
    "uniform": lambda low, width: stats.uniform(low, width),
    "triangular": lambda low, width: stats.triang(0.5, low, width),
    "log-normal": lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)),
    "gamma": lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
    "beta": lambda concentration1, concentration0: stats.beta(concentration1, concentration0),
    "chi-squared": lambda df: stats.chi2(df),
    "f": lambda df1, df2: stats.f(df1, df2),
    "exponential": lambda rate: stats.expon(scale=1 / rate),
    "weibull": lambda scale, concentration: stats.weibull_min(concentration, scale=scale),
    "kumaraswamy": lambda concentration1, concentration0: KUMARASWAMY(concentration1, concentration0),
}
"""The law of one site; of the two families whose sites depend on each other see `marginals`."""


def make(family: str, dtype: torch.dtype = torch.float64) -> Continuous:
    """The latent at NATURAL, its parameters requiring gradients."""
    latent = FAMILIES[family].of(**{name: torch.tensor(v, dtype=dtype) for name, v in NATURAL[family].items()})
    return type(latent)(latent.params.detach().requires_grad_())


def marginals(family: str) -> list[Any]:
    """The distribution of each site alone."""
    natural = {name: np.array(value) for name, value in NATURAL[family].items()}
    if family == "multivariate-normal":
        deviations = np.sqrt((natural["scale_tril"] ** 2).sum(1))
        return [stats.norm(loc, sd) for loc, sd in zip(natural["loc"], deviations, strict=True)]
    if family == "dirichlet":
        a = natural["concentration"]
        return [stats.beta(own, a.sum() - own) for own in a]
    return [SCIPY[family](*values) for values in zip(*natural.values(), strict=True)]


def log_density(family: str, z: Tensor) -> np.ndarray:
    """log q(z) of z [n, 2] as scipy has it."""
    natural, points = {name: np.array(value) for name, value in NATURAL[family].items()}, z.detach().double().numpy()
    if family == "multivariate-normal":
        factor = natural["scale_tril"]
        return stats.multivariate_normal(natural["loc"], factor @ factor.T).logpdf(points)
    if family == "dirichlet":
        return stats.dirichlet(natural["concentration"]).logpdf(points.T)
    return np.sum([law.logpdf(points[:, site]) for site, law in enumerate(marginals(family))], axis=0)
