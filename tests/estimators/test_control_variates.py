"""The theory of NVIL, the greedy baseline, MuProp, RELAX, Double CV and RODEO, by enumeration or quadrature in float64.

Learned parameters are set to arbitrary values: whatever they are, an unbiased estimator stays unbiased.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.control_variates.double_cv import DoubleCv
from dvae_bench.estimators.control_variates.muprop import MuProp
from dvae_bench.estimators.control_variates.rebar import Rebar
from dvae_bench.estimators.control_variates.relax import Relax
from dvae_bench.estimators.control_variates.rodeo import Rodeo
from dvae_bench.estimators.control_variates.simple_muprop import SimpleMuProp
from dvae_bench.estimators.latents import (
    Bernoulli,
    Categorical,
    Latent,
    LatentSpec,
    Objective,
    bernoulli,
    expectation,
)
from dvae_bench.estimators.networks import Network
from dvae_bench.estimators.score_function.greedy_baseline import GreedyBaseline
from dvae_bench.estimators.score_function.nvil import Draw, Nvil
from dvae_bench.estimators.score_function.reinforce import Reinforce
from dvae_bench.estimators.score_function.rloo import Rloo
from dvae_bench.estimators.tuning import Tuner
from torch import Generator, Tensor

EPS = torch.finfo(torch.float64).eps
BITS = Bernoulli(torch.tensor([-0.8, 0.4, 1.3], dtype=torch.float64))
SITES = Categorical(torch.tensor([[-0.8, 0.4, 1.3], [0.9, -0.2, 0.1]], dtype=torch.float64))


def seeded(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


class Smooth:
    """f(z) = Σ tanh(θᵀz + 1) + (w · z)², the same at any z, hard or relaxed; θ is f's own parameter."""

    def __init__(self, latent: Latent) -> None:
        self.dims = len(latent.spec.event_shape)
        size = math.prod(latent.spec.event_shape)
        self.theta = torch.randn(size, 5, generator=seeded(1), dtype=torch.float64).requires_grad_()
        self.w = torch.randn(size, generator=seeded(2), dtype=torch.float64)

    def __call__(self, z: Tensor) -> Tensor:
        flat = z.flatten(-self.dims)
        return (flat @ self.theta + 1).tanh().sum(-1) + (flat @ self.w).square()


def disturbed(estimator: Estimator, seed: int = 3) -> Estimator:
    """The estimator in eval() and float64 with standard normal learned parameters."""
    estimator = estimator.double().eval()
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return estimator


class Enumerated:
    """An estimator's answer at every draw of n configurations of z: one row a draw, weighed by its probability."""

    def __init__(self, estimator: Estimator, f: Objective, latent: Latent, n: int) -> None:
        support = latent.support()
        index = torch.cartesian_prod(*[torch.arange(len(support))] * n).reshape(-1, n)
        self.draw = support[index].transpose(0, 1)
        rows = type(latent)(latent.params.expand(len(index), *latent.params.shape))
        draw: Any = Draw(self.draw, rows.params) if isinstance(estimator, Nvil) else self.draw
        self.weight = latent.log_prob(support)[index].sum(-1).exp()
        self.estimate: Estimate = estimator.gradient(f, rows, draw)
        assert self.estimate.grad is not None
        self.grad = self.estimate.grad.flatten(1)

    @property
    def mean(self) -> Tensor:
        return self.weight @ self.grad

    @property
    def variance(self) -> Tensor:
        return (self.weight @ (self.grad - self.mean).square()).sum()

    @property
    def rounding(self) -> float:
        """What summing the rows, and a network of some hundred terms in each, can lose."""
        largest = self.grad.abs().max() + self.estimate.value.detach().abs().max()
        return EPS * (len(self.grad) + 1000) * float(largest)


def exact(f: Objective, latent: Latent) -> Tensor:
    leaf = latent.params.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(expectation(f, type(latent)(leaf)), leaf)
    return gradient.flatten()


UNBIASED = [
    *((cls, values, n) for cls, values, n in [(DoubleCv, {"n": 2}, 2), (DoubleCv, {"n": 3}, 3)]),
    *((cls, values, n) for cls, values, n in [(Rodeo, {"n": 2}, 2), (Rodeo, {"n": 3}, 3)]),
    (MuProp, {}, 1),
    (SimpleMuProp, {}, 1),
    (GreedyBaseline, {}, 1),
    (GreedyBaseline, {"n": 2}, 2),
    (Nvil, {"normalise": "no"}, 1),
    (Nvil, {"normalise": "no", "n": 2}, 2),
]
CASES = [
    pytest.param(cls, values, n, latent, id=f"{cls.name}-{n}-{latent.spec.kind}")
    for cls, values, n in UNBIASED
    for latent in (BITS, SITES)
    if latent.spec.kind in cls.latents
]


@pytest.mark.parametrize(("cls", "values", "n", "latent"), CASES)
def test_the_enumerated_mean_is_exact(cls: type[Estimator], values: dict[str, Any], n: int, latent: Latent) -> None:
    """The gradient in φ, the value, and the gradient in f's own parameters."""
    f = Smooth(latent)
    found = Enumerated(disturbed(cls(latent.spec, **values)), f, latent, n)
    assert found.grad.abs().max() > 0.1
    torch.testing.assert_close(found.mean, exact(f, latent), rtol=0, atol=found.rounding)
    values_mean, expected = (found.weight * found.estimate.value).sum(), expectation(f, latent)
    torch.testing.assert_close(values_mean, expected, rtol=0, atol=found.rounding)
    gradients = [torch.autograd.grad(each, f.theta)[0] for each in (values_mean, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=found.rounding)


# ------------------------------------------------------------------------------- special cases


def same_draw(first: Estimator, second: Estimator, latent: Latent, n: int) -> None:
    """Fails unless both give the same gradients at every draw, to rounding."""
    f = Smooth(latent)
    a, b = (Enumerated(each.double().eval(), f, latent, n) for each in (first, second))
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=10 * EPS * float(b.grad.abs().max()))


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("cls", [DoubleCv, Rodeo])
def test_untuned_it_is_rloo(cls: type[Estimator], n: int) -> None:
    same_draw(cls(BITS.spec, n=n), Rloo(BITS.spec, n=n), BITS, n)


@pytest.mark.parametrize("latent", [BITS, SITES])
@pytest.mark.parametrize("cls", [MuProp, SimpleMuProp])
def test_at_scale_zero_it_is_reinforce(cls: type[Estimator], latent: Latent) -> None:
    same_draw(cls(latent.spec, eta=0), Reinforce(latent.spec), latent, 1)


@pytest.mark.parametrize("latent", [BITS, SITES])
@pytest.mark.parametrize("n", [1, 2])
def test_nvil_before_its_first_update_is_reinforce(latent: Latent, n: int) -> None:
    same_draw(Nvil(latent.spec, n=n), Reinforce(latent.spec, n=n), latent, n)


@pytest.mark.parametrize("latent", [BITS, SITES])
def test_muprop_has_no_variance_on_linear_f(latent: Latent) -> None:
    f = Smooth(latent)
    found = Enumerated(MuProp(latent.spec).double().eval(), lambda z: z.flatten(-f.dims) @ f.w, latent, 1)
    assert found.variance < found.rounding**2


@pytest.mark.parametrize("n", [2, 3])
def test_double_cv_has_no_variance_on_linear_f_at_alpha_minus_one(n: int) -> None:
    estimator, w = DoubleCv(BITS.spec, n=n).double().eval(), Smooth(BITS).w
    torch.nn.init.constant_(estimator.alpha, -1)
    found = Enumerated(estimator, lambda z: z @ w, BITS, n)
    assert found.variance < found.rounding**2


def test_the_greedy_baseline_vanishes_at_the_mode() -> None:
    f = Smooth(SITES)
    found = Enumerated(GreedyBaseline(SITES.spec), f, SITES, 1)
    is_mode = (found.draw[0] == SITES.harden(SITES.params)).flatten(1).all(-1)
    assert is_mode.sum() == 1
    assert (found.grad[is_mode] == 0).all()
    assert (found.grad[~is_mode] != 0).all()


# ------------------------------------------------------------------------------- RODEO against its definition


def rodeo_by_flips(estimator: Rodeo, f_b: Tensor, slope: Tensor, b: Tensor, p: Tensor) -> Tensor:
    """g from f(b) [n], ∇f(b) [n, D] and b [n, D], one draw, one flip at a time."""
    n, bits = b.shape
    stein, vector_stein, g = b.new_zeros(n), b.new_zeros(n, bits), b.new_zeros(bits)
    for k in range(n):
        others = [j for j in range(n) if j != k]

        def h(x: Tensor, others: list[int] = others) -> Tensor:
            return torch.stack([estimator.h(torch.stack([f_b[j], slope[j] @ (x - b[j])])) for j in others]).mean(0)

        for d in range(bits):
            x = b[k].clone()
            x[d] = 1 - x[d]
            q = p[d] if x[d] == 1 else 1 - p[d]
            stein[k] += q * (h(x)[0] - h(b[k])[0]) / bits
            vector_stein[k] += q * (h(x)[1] * (x - p) - h(b[k])[1] * (b[k] - p)) / bits
    for k in range(n):
        baseline = sum(f_b[j] + estimator.alpha * stein[j] for j in range(n) if j != k) / (n - 1)
        g = g + ((f_b[k] - baseline) * (b[k] - p) + estimator.beta * vector_stein[k]) / n
    return g


@pytest.mark.parametrize("n", [2, 3])
def test_rodeo_is_its_definition(n: int) -> None:
    estimator, f = disturbed(Rodeo(BITS.spec, n=n)), Smooth(BITS)
    found = Enumerated(estimator, f, BITS, n)
    for row in range(0, len(found.grad), 37):
        b = found.draw[:, row].clone().requires_grad_()
        f_b = f(b)
        (slope,) = torch.autograd.grad(f_b.sum(), b)
        with torch.no_grad():
            g = rodeo_by_flips(estimator, f_b, slope, b, BITS.probs)
        torch.testing.assert_close(found.grad[row], g, rtol=0, atol=found.rounding)


# ------------------------------------------------------------------------------- NVIL


@pytest.mark.parametrize(("v", "factor"), [(9.0, 1 / 3), (0.25, 1.0)])
def test_nvil_shrinks_by_the_standard_deviation_above_one(v: float, factor: float) -> None:
    estimator, f = disturbed(Nvil(BITS.spec)), Smooth(BITS)
    estimator.weight.fill_(0.5)
    estimator.square.fill_(v / 2)
    found = Enumerated(estimator, f, BITS, 1)
    torch.testing.assert_close(found.mean, factor * exact(f, BITS), rtol=0, atol=found.rounding)


def test_nvil_moves_its_averages_after_use() -> None:
    """m and v are f - c and l², averaged with weights decay^age; the last draw's own l saw none of it."""
    estimator, f = disturbed(Nvil(BITS.spec, decay=0.5)).train(), Smooth(BITS)
    latent, generator, m, residuals, squares = Bernoulli(BITS.params.expand(7, 3)), seeded(4), torch.zeros(()), [], []
    for _ in range(3):
        draw = estimator.sample(latent, generator)
        estimate = estimator.gradient(f, latent, draw)
        residual = (f(draw.z)[0] - estimator.baseline(BITS.params)).detach()
        residuals.append(residual.mean())
        squares.append((residual - m).square().mean())
        torch.testing.assert_close(estimate.tuning_loss.detach(), squares[-1])
        estimator.update(draw, estimate)
        weights = torch.tensor([0.5**age for age in range(len(squares))][::-1], dtype=torch.float64)
        m, v = (weights @ torch.stack(past) / weights.sum() for past in (residuals, squares))
        torch.testing.assert_close(estimator.total / estimator.weight, m)
        torch.testing.assert_close(estimator.square / estimator.weight, v)


def test_nvil_learns_the_mean_of_f_given_the_input() -> None:
    """c + m comes within a fifth of the spread of E f over 16 inputs."""
    logits = 2 * torch.randn(16, 3, generator=seeded(5))
    latent, w = Bernoulli(logits), torch.tensor([1.0, -2.0, 0.5])
    estimator, generator = Nvil(latent.spec, n=8, decay=0.95), seeded(6)
    tuner = Tuner(estimator, lr=1e-2)
    for _ in range(200):
        tuner.step(estimator.estimate(lambda z: z @ w, latent, generator).tuning_loss)
    wanted = latent.probs @ w
    learnt = estimator.baseline(logits).squeeze(-1) + estimator.total / estimator.weight
    assert (learnt - wanted).square().mean() < 0.2**2 * wanted.var()


# ------------------------------------------------------------------------------- tuning


def tuned(estimator: Estimator, f: Objective, latent: Latent, steps: int, lr: float) -> Estimator:
    rows, generator = type(latent)(latent.params.expand(64, *latent.params.shape)), seeded(7)
    estimator = estimator.double().train()
    tuner = Tuner(estimator, lr)
    for _ in range(steps):
        tuner.step(estimator.estimate(f, rows, generator).tuning_loss)
    return estimator.eval()


@pytest.mark.parametrize(("cls", "parameter"), [(MuProp, "scale"), (SimpleMuProp, "scale"), (DoubleCv, "alpha")])
def test_tuning_finds_the_scale_of_least_variance(cls: type[Estimator], parameter: str) -> None:
    """g is linear in the scale, so its exact variance is a parabola, and three points of it give the minimum.

    Tuning from 3 away takes off 99 % of the excess.
    """
    f, n = Smooth(BITS), 2 if cls is DoubleCv else 1

    def at(scale: float) -> Estimator:
        estimator = cls(BITS.spec).double().eval()
        torch.nn.init.constant_(getattr(estimator, parameter), scale)
        return estimator

    low, middle, high = (Enumerated(at(scale), f, BITS, n).variance for scale in (-1.0, 0.0, 1.0))
    curvature, tilt = (low + high) / 2 - middle, (high - low) / 2
    best = float(-tilt / (2 * curvature))
    least, start = (Enumerated(at(scale), f, BITS, n).variance for scale in (best, best + 3))
    found = Enumerated(tuned(at(best + 3), f, BITS, steps=300, lr=0.03), f, BITS, n).variance
    assert least * (1 - 1e-12) <= found < least + 0.01 * (start - least)


@pytest.mark.parametrize("n", [2, 3])
def test_tuned_rodeo_beats_rloo(n: int) -> None:
    f = Smooth(BITS)
    found = Enumerated(tuned(Rodeo(BITS.spec, n=n), f, BITS, steps=100, lr=0.01), f, BITS, n).variance
    assert found < 0.9 * Enumerated(Rloo(BITS.spec, n=n), f, BITS, n).variance


# ------------------------------------------------------------------------------- REBAR and RELAX by quadrature


def legendre(low: float, high: float, count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre on [low, high], from the eigenvalues of the Jacobi matrix."""
    k = torch.arange(1, count, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return (high - low) / 2 * nodes + (high + low) / 2, (high - low) * vectors[0].square()


class Integrated:
    """Mean and variance of an estimator's gradient for one bit: the integral over both of its uniforms.

    In x = logit u the integrand is smooth but for the jump of b at x = -φ.
    """

    def __init__(self, estimator: Estimator, f: Objective, phi: float, monkeypatch: pytest.MonkeyPatch) -> None:
        pieces = [legendre(-34, -phi, 100), legendre(-phi, 34, 100)]
        x, dx = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        y, dy = legendre(-34, 34, 160)
        grid = torch.cartesian_prod(x, y)
        weight = (torch.cartesian_prod(dx, dy) * grid.sigmoid() * (-grid).sigmoid()).prod(-1)
        uniforms = iter(grid.sigmoid().unbind(-1))
        with monkeypatch.context() as patch:
            patch.setattr(bernoulli, "uniform", lambda shape, like, generator: next(uniforms).view(shape))
            latent = Bernoulli(torch.full((len(grid), 1), phi, dtype=torch.float64))
            estimate = estimator.estimate(f, latent, None)
        assert estimate.grad is not None
        self.mean = float(weight @ estimate.grad[:, 0])
        self.variance = float(weight @ (estimate.grad[:, 0] - self.mean).square())


BIT = LatentSpec.bernoulli(1)


def toy_of_rebar(z: Tensor) -> Tensor:
    return (z - 0.45).square().sum(-1)


def gradient_on_toy(phi: float) -> float:
    p = 1 / (1 + math.exp(-phi))
    return 0.1 * p * (1 - p)


@pytest.mark.parametrize(
    ("phi", "tau", "variance"),
    [(0, 0.1, 0.0873), (0, 0.5, 0.0227), (0, 1.0, 0.0185), (2, 0.1, 0.0397), (2, 0.5, 0.0113), (2, 1.0, 0.0067)],
)
def test_untuned_relax_has_the_variance_of_rebar(
    phi: float, tau: float, variance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On (b - .45)² with η = 1, against an independent simulation that is good to 1 %."""
    found = Integrated(Relax(BIT, tau=tau).double().eval(), toy_of_rebar, phi, monkeypatch)
    assert found.mean == pytest.approx(gradient_on_toy(phi), abs=1e-5)
    assert found.variance == pytest.approx(variance, rel=0.01)


@pytest.mark.parametrize("phi", [-1.5, 0.0, 0.7])
def test_relax_is_unbiased_whatever_its_network(phi: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a smooth network in place of the LeakyReLU one, so that the quadrature is exact."""
    estimator = Relax(BIT)
    estimator.free = Network(1, 20, 1, activation=torch.tanh)
    found = Integrated(disturbed(estimator), toy_of_rebar, phi, monkeypatch)
    assert found.variance > 0.3
    assert found.mean == pytest.approx(gradient_on_toy(phi), abs=1e-5)


def test_tuned_relax_beats_rebar_at_any_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    bit = Bernoulli(torch.zeros(1, dtype=torch.float64))
    found = Integrated(tuned(Relax(BIT), toy_of_rebar, bit, steps=200, lr=0.01), toy_of_rebar, 0, monkeypatch)
    rebar = [Integrated(Rebar(BIT, tau=tau).double().eval(), toy_of_rebar, 0, monkeypatch) for tau in (0.3, 0.6, 1.2)]
    assert found.variance < min(each.variance for each in rebar)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("latent", [BITS, SITES])
def test_relax_starts_as_rebar(latent: Latent, training: bool) -> None:
    """Same noise, same bits: value, gradient, and what tunes τ and η."""
    f, rows, answers = Smooth(latent), type(latent)(latent.params.expand(5, *latent.params.shape)), []
    for cls in (Rebar, Relax):
        estimator = cls(latent.spec).train(training)
        estimate = estimator.estimate(f, rows, seeded(8))
        tuning = [torch.zeros(())]
        if training:
            tuning = torch.autograd.grad(estimate.tuning_loss, [estimator.log_tau, estimator.scale], retain_graph=True)
        answers.append([estimate.value, estimate.grad, *tuning])
    for rebar, relax in zip(*answers, strict=True):
        assert torch.equal(rebar, relax)


class RawPerturbation(Categorical):
    """φ + G in place of log π + G: shifted by log Σ exp φ."""

    def perturb(self, noise: Tensor) -> Tensor:
        return self.logits + noise


@pytest.mark.parametrize(("distribution", "unbiased"), [(Categorical, True), (RawPerturbation, False)])
def test_a_free_network_needs_normalised_log_probabilities(distribution: type[Categorical], unbiased: bool) -> None:
    """By 100,000 draws: |z| < 6 in all of 6 coordinates has a false alarm of 1e-8; the raw logits' bias is far off."""
    latent, f = distribution(SITES.params + 1), Smooth(SITES)
    estimator = disturbed(Relax(latent.spec, hidden=10))
    estimate = estimator.estimate(f, distribution(latent.params.expand(100_000, 2, 3)), seeded(9))
    assert estimate.grad is not None
    g = estimate.grad.flatten(1)
    z = (g.mean(0) - exact(f, SITES)) / g.std(0) * len(g) ** 0.5
    assert (z.abs().max() < 6) == unbiased
