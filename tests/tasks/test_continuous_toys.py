"""The closed forms of continuous toys, against quadrature of scipy's densities and against finite differences of it."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from continuous_distributions import SCIPY
from dvae_bench.bench.check.bias import toys
from dvae_bench.estimators.latents import FAMILIES
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import TASKS
from dvae_bench.tasks.toys.bell import Bell
from dvae_bench.tasks.toys.closed_form import ClosedForm
from dvae_bench.tasks.toys.cosine import EXPECTED, Cosine
from dvae_bench.tasks.toys.moments import Moments
from scipy import stats
from scipy.integrate import quad

ALL = toys("continuous")
ACCURACY = 1e-9
"""What quadrature is asked for."""
STEP = 2e-3

every_toy = pytest.mark.parametrize("name", ALL, ids=str)


def make(name: Name, dtype: torch.dtype = torch.float64) -> ClosedForm:
    return TASKS.find(name.family).load()("cpu", dtype, **name.values)


def site_distribution(family: str, params: tuple[float, ...]) -> Any:
    """scipy's distribution of one site at unconstrained parameters."""
    natural = zip(FAMILIES[family].natural, params, strict=True)
    return SCIPY[family](*(p if name in ("loc", "low") else math.exp(p) for name, p in natural))


def combination(family: str, params: np.ndarray, weights: np.ndarray) -> Any:
    """The distribution of Σ w_d z_d for weights of 0 and 1, of a family whose sites depend on each other."""
    if family == "dirichlet":
        a = np.exp(params[:, 0])
        return stats.beta(weights @ a, (1 - weights) @ a)
    factor = np.tril(params[:, 1:], -1) + np.diag(np.exp(np.diag(params[:, 1:])))
    return stats.norm(weights @ params[:, 0], np.linalg.norm(factor.T @ weights))


def power(distribution: Any, order: int) -> float:
    """E z^order."""
    (low, high), middle = distribution.support(), distribution.median()
    parts = ((low, middle), (middle, high))
    with np.errstate(over="ignore"):  # scipy's Gumbel density far to the left
        return sum(
            quad(lambda z: z**order * distribution.pdf(z), *part, epsabs=ACCURACY, limit=200)[0] for part in parts
        )


@functools.cache
def site_power(family: str, params: tuple[float, ...], order: int) -> float:
    return power(site_distribution(family, params), order)


@functools.cache
def site_cosine(family: str, params: tuple[float, ...], k: float) -> float:
    """E cos(k z); over the whole line by quadrature that knows the cosine."""
    distribution = site_distribution(family, params)
    low, high = distribution.support()
    if np.isfinite(high):
        return quad(
            lambda z: math.cos(k * z) * distribution.pdf(z), low, high, points=[distribution.median()], epsabs=ACCURACY
        )[0]
    both_sides = quad(
        lambda z: distribution.pdf(z) + distribution.pdf(-z),
        0,
        np.inf,
        weight="cos",
        wvar=k,
        epsabs=ACCURACY,
        limlst=200,
    )
    return both_sides[0]


def moments(toy: Moments, params: np.ndarray) -> float:
    a, b, sites = toy.linear.numpy(), toy.square.numpy(), len(params)
    if toy.family not in ("dirichlet", "multivariate-normal"):
        first, second = (np.array([site_power(toy.family, tuple(p), order) for p in params]) for order in (1, 2))
        return a @ first + (b @ first) ** 2 + b**2 @ (second - first**2)
    unit = np.eye(sites)
    first = np.array([power(combination(toy.family, params, unit[i]), 1) for i in range(sites)])
    own = np.array([power(combination(toy.family, params, unit[i]), 2) for i in range(sites)])
    second = np.diag(own)
    for i, j in itertools.combinations(range(sites), 2):
        both = power(combination(toy.family, params, unit[i] + unit[j]), 2)
        second[i, j] = second[j, i] = (both - own[i] - own[j]) / 2
    return a @ first + b @ second @ b


def integrated(toy: ClosedForm, params: np.ndarray) -> float:
    """E f at these parameters [D, P], without the toy's formula."""
    if isinstance(toy, Moments):
        return float(moments(toy, params))
    if isinstance(toy, Cosine):
        return sum(site_cosine(toy.family, tuple(p), toy.k) for p in params)
    assert isinstance(toy, Bell)
    distributions = [site_distribution("gaussian", tuple(p)) for p in params]
    return math.prod(
        quad(lambda z: math.exp(-toy.k * z * z) * distribution.pdf(z), -np.inf, np.inf, epsabs=ACCURACY)[0]  # noqa: B023
        for distribution in distributions
    )


@every_toy
def test_the_exact_value_and_gradient_are_those_of_quadrature(name: Name) -> None:
    """The gradient by central differences of fourth order of the integral, whose error the step magnifies."""
    toy = make(name)
    exact, params = toy.exact(), toy.params().detach().numpy()
    scale = max(1.0, abs(float(exact["value"])))
    assert float(exact["value"]) == pytest.approx(integrated(toy, params), abs=100 * ACCURACY * scale)
    for index in np.ndindex(*params.shape):
        unit = np.zeros(params.shape)
        unit[index] = STEP
        near, far = (integrated(toy, params + s * unit) - integrated(toy, params - s * unit) for s in (1, 2))
        found = float(exact["cut"][index])
        assert found == pytest.approx((8 * near - far) / (12 * STEP), abs=100 * ACCURACY * scale / STEP), index


@every_toy
def test_the_toy_is_the_same_in_float32_and_gives_what_is_needed(name: Name) -> None:
    single, double = make(name, torch.float32), make(name)
    assert single.params().dtype == torch.float32
    torch.testing.assert_close(single.params().double(), double.params(), rtol=1e-5, atol=1e-5)
    exact = double.exact()
    for group, value in single.exact().items():
        torch.testing.assert_close(value, exact[group])
    assert exact["cut"].shape == double.params().shape and exact["cut"].norm() > 1e-3
    latent = double.latent(double.params().expand(5, *double.params().shape))
    assert double.objective(latent)(latent.sample(4, torch.Generator().manual_seed(0))).shape == (4, 5)


def test_all_families_are_swept() -> None:
    families = {toy.values.get("family", "gaussian") for toy in ALL}
    assert families == set(FAMILIES)
    assert set(Moments.hyperparameters["family"]["choices"]) == set(FAMILIES) - {"cauchy"}
    assert set(Cosine.hyperparameters["family"]["choices"]) == set(EXPECTED)


def test_an_unknown_family_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="moments: family must be one of gaussian, laplace"):
        Moments(family="cauchy")
