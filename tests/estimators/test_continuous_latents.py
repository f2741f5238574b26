"""Every continuous family: its distribution, moments, score, change of variables, natural parameters and extremes.

ALPHA is the chance of a false alarm of one test under fresh seeds; with the fixed seeds there is none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from continuous_distributions import NATURAL, log_density, make, marginals
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.latents import FAMILIES, Bernoulli, Categorical, Gaussian, LatentSpec, latent_at
from dvae_bench.estimators.latents.continuous import (
    Beta,
    Dirichlet,
    F,
    FixedNoise,
    Gamma,
    StudentT,
    Triangular,
    Uniform,
)
from dvae_bench.estimators.latents.continuous.gammas import log_gamma
from scipy import stats
from scipy.integrate import quad
from torch import Generator, Tensor
from torch.distributions import Exponential, Laplace, MultivariateNormal, Normal, kl_divergence

ALPHA = 1e-6
DRAWS = 20_000
EXTREME = 20.0
FIXED = [family for family, cls in FAMILIES.items() if issubclass(cls, FixedNoise)]
INVERSE = ("exponential", "weibull", "kumaraswamy")
CLOSED_KL = ("gaussian", "laplace", "exponential", "multivariate-normal")

every_family = pytest.mark.parametrize("family", FAMILIES)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def same(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(expected, dtype=torch.float64), equal_nan=True)


def test_every_family_is_tested() -> None:
    assert NATURAL.keys() == FAMILIES.keys()
    assert all(NATURAL[family].keys() == cls.natural.keys() for family, cls in FAMILIES.items())


@every_family
def test_log_prob_is_scipys(family: str) -> None:
    latent = make(family)
    z = latent.sample(50, seeded())
    if family == "dirichlet":
        z = z / z.sum(-1, keepdim=True)
    same(latent.log_prob(z), log_density(family, z))


@every_family
@both_types
def test_draws_have_the_familys_distribution(family: str, dtype: torch.dtype) -> None:
    """Kolmogorov and Smirnov on each site alone."""
    draws = make(family, dtype).sample(DRAWS, seeded(1)).double().numpy()
    distributions = marginals(family)
    smallest = min(stats.kstest(draws[:, i], each.cdf).pvalue for i, each in enumerate(distributions))
    assert len(distributions) * smallest >= ALPHA


def test_sites_of_a_multivariate_normal_depend_on_each_other_as_they_should() -> None:
    latent = make("multivariate-normal")
    z = latent.sample(DRAWS, seeded(2)) - latent.mean.detach()
    white = torch.linalg.solve_triangular(latent.factor.detach(), z.T, upper=False)
    for direction in torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5:
        assert stats.kstest((direction @ white).numpy(), stats.norm.cdf).pvalue >= ALPHA


@every_family
def test_mean_and_covariance(family: str) -> None:
    latent, distributions = make(family), marginals(family)
    if family == "cauchy":
        assert latent.mean.isnan().all() and latent.variance.isnan().all()
        return
    same(latent.mean, [distribution.mean() for distribution in distributions])
    same(latent.variance, [distribution.var() for distribution in distributions])
    off_diagonal = latent.covariance[0, 1].detach()
    if family == "multivariate-normal":
        same(off_diagonal, -0.4 * 0.7)
    elif family == "dirichlet":
        same(off_diagonal, -latent.variance[0].detach())
    else:
        assert off_diagonal == 0


@pytest.mark.parametrize(
    ("latent", "mean", "variance"),
    [
        (F.of(df1=[3.0] * 3, df2=[2.0, 3.0, 5.0]), [math.inf, 3.0, 5 / 3], [math.nan, math.inf, 50 * 6 / 27]),
        (
            StudentT.of(loc=[1.0] * 3, scale=[1.0] * 3, df=[0.9, 1.5, 3.0]),
            [math.nan, 1.0, 1.0],
            [math.nan, math.inf, 3.0],
        ),
    ],
    ids=["f", "student-t"],
)
def test_moments_that_do_not_exist(latent: Any, mean: list[float], variance: list[float]) -> None:
    torch.testing.assert_close(latent.mean, torch.tensor(mean), equal_nan=True)
    torch.testing.assert_close(latent.variance, torch.tensor(variance), equal_nan=True)


@every_family
def test_log_prob_is_differentiable_in_z_and_params(family: str) -> None:
    """At the quartiles of its draws."""
    latent = make(family)
    z = latent.sample(99, seeded(3)).sort(0).values[24::25].requires_grad_()
    assert torch.autograd.gradcheck(lambda params, z: type(latent)(params).log_prob(z), (latent.params, z))


@every_family
def test_the_score_is_the_gradient_of_log_prob(family: str) -> None:
    latent = make(family)
    z = latent.sample(7, seeded(4))
    if family == "uniform":
        with pytest.raises(Unsupported, match="the ends of a uniform latent move with its parameters"):
            latent.score(z)
        return
    for draw in z:
        (gradient,) = torch.autograd.grad(latent.log_prob(draw.unsqueeze(0)).sum(), latent.params)
        torch.testing.assert_close(latent.score(draw.unsqueeze(0))[0], gradient)
    assert not latent.score(z).requires_grad


@pytest.mark.parametrize("family", [f for f, cls in FAMILIES.items() if f != "uniform" and cls.finite_score])
def test_the_score_has_mean_zero(family: str) -> None:
    latent = make(family)
    score = latent.score(latent.sample(100_000, seeded(5))).flatten(1)
    varies = score.std(0) > 0
    z_values = (score.mean(0) / score.std(0))[varies] * len(score) ** 0.5
    assert 2 * stats.norm.sf(float(z_values.abs().max())) * len(z_values) >= ALPHA


def test_the_score_of_a_triangular_distribution_has_a_mean_but_no_variance() -> None:
    """E s = 0 and E ε s = -1, but ∫ s² p over [δ, 1 - δ] is 8 log(1 / 2δ)."""
    assert [family for family, cls in FAMILIES.items() if not cls.finite_score] == ["triangular"]
    distribution = make("triangular")
    assert isinstance(distribution, Triangular)

    def integral(power: int, order: int, edge: float) -> float:
        """∫ ε^order s(ε)^power p(ε) dε, in the logarithm of the distance to the nearer end."""

        def integrand(log_distance: float, above: bool) -> float:
            distance = math.exp(log_distance)
            noise = torch.tensor(1 - distance if above else distance, dtype=torch.float64)
            value = noise**order * distribution.noise_score(noise) ** power * distribution.noise_log_prob(noise).exp()
            return float(value) * distance

        return sum(quad(integrand, math.log(edge), math.log(0.5), args=(above,))[0] for above in (False, True))

    assert integral(1, 0, 1e-12) == pytest.approx(0, abs=1e-8)
    assert integral(1, 1, 1e-12) == pytest.approx(-1, abs=1e-8)
    for edge in (1e-2, 1e-4, 1e-8):
        assert integral(2, 0, edge) == pytest.approx(8 * math.log(1 / (2 * edge)), rel=1e-6)


@pytest.mark.parametrize("family", FIXED)
def test_change_of_variables(family: str) -> None:
    """log q(z) = log p(ε) - log |det ∂z/∂ε|; with the sign as printed in section 1.7 it is another number."""
    latent = make(family)
    for noise in latent.noise(5, seeded(6)):
        jacobian = torch.autograd.functional.jacobian(latent.transform, noise)
        log_det, base = jacobian.slogdet().logabsdet, latent.noise_log_prob(noise).sum()
        found = latent.log_prob(latent.transform(noise).unsqueeze(0))[0]
        torch.testing.assert_close(base - log_det, found)
        assert (base + log_det - found).abs() > 1e-3


@pytest.mark.parametrize("family", INVERSE)
def test_the_inverse_cdf(family: str) -> None:
    latent = make(family)
    u = latent.noise(50, seeded(7))
    expected = np.stack([each.ppf(u[:, site].numpy()) for site, each in enumerate(marginals(family))], -1)
    same(latent.transform(u), expected)


def test_what_gamma_variables_become() -> None:
    """Two Dirichlet sites are a beta, a scaled F is a beta, t² is an F(1, ν), χ² is twice a gamma."""
    a, b = torch.tensor([[0.4], [3.0], [7.0]], dtype=torch.float64), torch.tensor([[0.7]], dtype=torch.float64)
    z = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)[:, None, None]
    beta = Beta.of(concentration1=a, concentration0=b)
    pair = Dirichlet.of(concentration=torch.cat([a, b.expand_as(a)], -1))
    torch.testing.assert_close(pair.log_prob(torch.cat([z, 1 - z], -1)), beta.log_prob(z))

    y = a * z / (a * z + b)
    log_slope = a.log() + b.log() - 2 * (a * z + b).log()
    torch.testing.assert_close(F.of(df1=2 * a, df2=2 * b).log_prob(z), beta.log_prob(y) + log_slope.sum(-1))

    t = StudentT.of(loc=torch.zeros_like(a), scale=torch.ones_like(a), df=a)
    f = F.of(df1=torch.ones_like(a), df2=a)
    torch.testing.assert_close(f.log_prob(z.square()) + z.log().sum(-1), t.log_prob(z))

    chi, gamma = FAMILIES["chi-squared"].of(df=2 * a), Gamma.of(concentration=a, rate=torch.ones_like(a))
    torch.testing.assert_close(chi.log_prob(2 * z) + math.log(2), gamma.log_prob(z))


@both_types
@pytest.mark.parametrize("a", [1e-3, 0.1, 1.0, 30.0])
def test_log_gamma(a: float, dtype: torch.dtype) -> None:
    """log G has its distribution, also at shapes where G itself underflows, and d log G / d log a its expectation.

    E log G = digamma(a), so that the derivative's mean is a trigamma(a).
    """
    log_a = torch.tensor([math.log(a)], dtype=dtype).requires_grad_()
    draws = log_gamma(log_a.expand(DRAWS, 1), 1, seeded(8))
    assert stats.kstest(draws.detach().flatten().double().numpy(), stats.loggamma(a).cdf).pvalue >= ALPHA
    each = log_a.detach().expand(DRAWS).clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_gamma(each, 1, seeded(8)).sum(), each)
    expected = a * torch.polygamma(1, torch.tensor(a, dtype=torch.float64))
    error = (slope.double().mean() - expected) / (slope.double().std() / DRAWS**0.5)
    assert 2 * stats.norm.sf(abs(float(error))) >= ALPHA


@every_family
@both_types
def test_extremes_are_finite(family: str, dtype: torch.dtype) -> None:
    """At ±20: z, log q(z) and their gradients. No mean of a t survives log ν = -20: it is tried at ±20, ±20, 1."""
    params = EXTREME * torch.randn(64, 3, FAMILIES[family].columns(3), generator=seeded(9)).sign().to(dtype)
    if family == "student-t":
        params[..., 2] = 1.0
    if family == "multivariate-normal":
        params[..., 1:] = params[..., 1:] * torch.eye(3, dtype=dtype)
    latent = FAMILIES[family](params.requires_grad_())
    z = latent.rsample(4, seeded(10))
    log_prob = latent.log_prob(z)
    for result in (z, log_prob):
        assert result.isfinite().all()
        assert torch.autograd.grad(result.sum(), params, retain_graph=True)[0].isfinite().all()


@both_types
@pytest.mark.parametrize("family", FIXED)
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_the_ends_of_the_uniforms(family: str, dtype: torch.dtype, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """z and log q(z) are finite at the least and the greatest number torch.rand can give."""
    at = 0.0 if end == "lowest" else 1 - torch.finfo(dtype).eps / 2
    monkeypatch.setattr(torch, "rand", lambda shape, generator, device, dtype: torch.full(shape, at, dtype=dtype))
    params = torch.randn(500, 2, FAMILIES[family].columns(2), generator=seeded(13), dtype=torch.float64).to(dtype)
    latent = FAMILIES[family](params)
    z = latent.sample(1, seeded())
    assert z.isfinite().all() and latent.log_prob(z).isfinite().all()


@every_family
@both_types
def test_draws_follow_the_generator_shape_and_type(family: str, dtype: torch.dtype) -> None:
    latent = make(family, dtype)
    batch = type(latent)(latent.params.detach().expand(2, 1, 5, *latent.params.shape).requires_grad_())
    first, second = (batch.rsample(3, seeded(11)) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, batch.sample(3, seeded(12)))
    assert first.requires_grad and not batch.sample(1, seeded()).requires_grad
    assert first.shape == (3, 2, 1, 5, 2) and first.dtype == dtype
    assert batch.log_prob(first).shape == (3, 2, 1, 5) and batch.log_prob(first).dtype == dtype
    assert batch.mean.shape == batch.variance.shape == (2, 1, 5, 2)


@every_family
def test_the_spec_makes_the_latent_again(family: str) -> None:
    latent = make(family)
    again = latent_at(latent.spec, latent.params)
    assert type(again) is type(latent) and again.spec == latent.spec
    assert latent.spec.event_shape == (2,) and str(latent.spec) == f"{family} 2"


@pytest.mark.parametrize("family", CLOSED_KL)
def test_kl_to_prior_is_torchs(family: str) -> None:
    latent = make(family)
    one, zero = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    natural = {name: torch.tensor(v, dtype=torch.float64) for name, v in NATURAL[family].items()}
    theirs = {
        "gaussian": lambda: kl_divergence(Normal(**natural), Normal(zero, one)).sum(),
        "laplace": lambda: kl_divergence(Laplace(**natural), Laplace(zero, one)).sum(),
        "exponential": lambda: kl_divergence(Exponential(**natural), Exponential(one)).sum(),
        "multivariate-normal": lambda: kl_divergence(
            MultivariateNormal(**natural), MultivariateNormal(zero, torch.eye(2, dtype=torch.float64))
        ),
    }
    same(latent.kl_to_prior(), theirs[family]())
    assert torch.autograd.gradcheck(lambda params: type(latent)(params).kl_to_prior(), latent.params)


def test_priors() -> None:
    """The family at params 0, and a sentence where its KL has no closed form."""
    z = torch.tensor([[0.3, -2.0]], dtype=torch.float64)
    same(make("gaussian").prior_log_prob(z), stats.norm.logpdf(z.numpy()).sum(-1))
    assert make("uniform").prior_log_prob(z) == -math.inf
    for family in FAMILIES.keys() - set(CLOSED_KL):
        with pytest.raises(Unsupported, match=f"the KL of a {family} latent .* take kl=sampled"):
            make(family).kl_to_prior()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Gaussian.of(loc=[0.0], scale=[0.0]), "Gaussian.of: scale must be positive and finite: take exp"),
        (lambda: Gaussian.of(loc=[math.nan], scale=[1.0]), "Gaussian.of: loc must be finite"),
        (lambda: Gaussian.of(loc=[0.0], scale=[math.inf]), "Gaussian.of: scale must be positive and finite"),
        (lambda: Gaussian.of(loc=[0.0], sigma=[1.0]), "Gaussian.of takes loc, scale, got loc, sigma"),
        (lambda: Uniform.of(), "Uniform.of takes low, width, got nothing"),
        (lambda: Dirichlet.of(concentration=[1.0, -1.0]), "Dirichlet.of: concentration must be positive"),
        (
            lambda: FAMILIES["multivariate-normal"].of(loc=[0.0, 0.0], scale_tril=[[1.0, 0.5], [0.0, 1.0]]),
            "MultivariateNormal.of: scale_tril must be finite and lower triangular with a positive diagonal",
        ),
        (lambda: Bernoulli.of(probs=[0.5, 1.0]), "Bernoulli.of: probs must be strictly between 0 and 1"),
        (lambda: Categorical.of(probs=[[0.5, 0.6]]), "Categorical.of: probs must be positive and sum to 1"),
        (lambda: Categorical.of(probs=[[-0.5, 1.5]]), "Categorical.of: probs must be positive and sum to 1"),
    ],
)
def test_bad_natural_parameters_are_one_sentence(build: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_natural_parameters_of_discrete_latents() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(Categorical.of(probs=p).probs, p)
    torch.testing.assert_close(Bernoulli.of(probs=p).probs, p)


def test_natural_parameters_keep_their_graph_and_broadcast() -> None:
    scale = torch.tensor(2.0, requires_grad=True)
    latent = Gaussian.of(loc=torch.zeros(4, 3), scale=scale)
    assert latent.params.shape == (4, 3, 2) and latent.spec == LatentSpec.continuous("gaussian", 3, 2)
    latent.params.sum().backward()
    assert float(scale.grad) == pytest.approx(12 / 2)
