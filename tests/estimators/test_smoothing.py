"""Smoothing transformations: their shapes, distributions, gradients and own objectives; wrong twins of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.check.bias import unbiased
from dvae_bench.bench.check.case import Case, Failed
from dvae_bench.bench.collectors.bias import Bias
from dvae_bench.bench.collectors.variance import Variance
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.draws import draw_gradients
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.estimators import quadrature
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.latents import Bernoulli, LatentSpec
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.quadrature import nodes
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.smoothing.dvaepp_exp import DvaeppExp
from dvae_bench.estimators.smoothing.dvaepp_power import DvaeppPower
from dvae_bench.estimators.smoothing.dvaes_gaussian import DvaesGaussian
from dvae_bench.estimators.smoothing.dvaes_uniform_exp import DvaesUniformExp
from dvae_bench.estimators.smoothing.overlapping import Draw, Overlap, Overlapping
from dvae_bench.estimators.smoothing.smoothing import Smoothing
from dvae_bench.estimators.smoothing.transforms import TRANSFORMS, f1, f2, f2p, f2pp, f3, f3p
from dvae_bench.tasks.toys.tables import BitTable
from dvae_bench.tasks.toys.two_layer import TwoLayer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

FALSE_ALARM = 1e-6
SHAPES = pytest.mark.parametrize("shape", TRANSFORMS.values(), ids=TRANSFORMS)
BIT = LatentSpec.bernoulli(1)
OVERLAPPING = [DvaeppExp, DvaeppPower, DvaesUniformExp, DvaesGaussian]
Shape = Callable[[Any, Tensor, Tensor], Tensor]


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def on_grid(shape: Shape, beta: float, p: float, points: int = 2001) -> Tensor:
    """f(β, p, ·) at equidistant ε from 0 to 1."""
    return shape(beta, double(p), torch.linspace(0, 1, points, dtype=torch.float64))


def f_smooth(z: Tensor) -> Tensor:
    return (1.3 * z + 0.4).sin() + z.square() * (1 - z)


# The transformations


betas, probabilities = st.floats(0.2, 60), st.floats(0.01, 0.99)


@SHAPES
@settings(max_examples=50, deadline=None, derandomize=True)
@given(beta=betas, p=probabilities)
def test_increasing_from_0_to_1(shape: Shape, beta: float, p: float) -> None:
    values = on_grid(shape, beta, p)
    assert float(values[0]) == pytest.approx(0, abs=1e-14) and float(values[-1]) == pytest.approx(1, abs=1e-14)
    assert (values.diff() >= -1e-14).all()


@SHAPES
@settings(max_examples=50, deadline=None, derandomize=True)
@given(p=probabilities, eps=st.floats(0.001, 0.999))
def test_the_step_is_the_limit_where_beta_grows(shape: Shape, p: float, eps: float) -> None:
    assume(abs(eps - (1 - p)) > 1e-3)
    gaps = [float((shape(beta, double(p), double(eps)) - float(eps > 1 - p)).abs()) for beta in (1.0, 1e2, 1e4, 1e6)]
    assert all(after <= before + 1e-12 for before, after in pairwise(gaps))
    assert gaps[-1] < 1e-2


@SHAPES
@settings(max_examples=100, deadline=None, derandomize=True)
@given(beta=st.floats(0.5, 20), p=st.floats(0.05, 0.95), eps=st.floats(0.02, 0.98))
def test_derivatives_against_finite_differences(shape: Shape, beta: float, p: float, eps: float) -> None:
    assume(abs(eps - (1 - p)) > 0.01)
    step = 1e-5
    point = [double(p).requires_grad_(), double(eps).requires_grad_()]
    found = torch.autograd.grad(shape(beta, *point).sum(), point)
    for analytic, unit in zip(found, ((step, 0.0), (0.0, step)), strict=True):
        up, down = (shape(beta, double(p + s * unit[0]), double(eps + s * unit[1])) for s in (1, -1))
        assert float(analytic) == pytest.approx(float((up - down) / (2 * step)), rel=1e-4, abs=1e-6)


@SHAPES
@pytest.mark.parametrize("beta", [0.5, 5.0, 100.0])
@pytest.mark.parametrize("p", [1e-7, 0.25, 1 - 1e-7])
def test_finite_at_the_ends(shape: Shape, beta: float, p: float) -> None:
    """In float32, at the smallest and largest uniforms and at ε = 1 - p itself."""
    eps = torch.tensor([3e-8, 1e-7, 1 - p, 0.5, 1 - p - 6e-8, 1 - p + 6e-8, 1 - 6e-8]).clamp(3e-8, 1 - 6e-8)
    leaf = torch.full_like(eps, p).requires_grad_()
    value = shape(beta, leaf, eps)
    assert value.isfinite().all() and torch.autograd.grad(value.sum(), leaf)[0].isfinite().all()
    assert (value >= 0).all() and (value <= 1).all()


@pytest.mark.parametrize("shape", [f1, f2, f2p, f2pp])
def test_no_gradient_flows_while_the_bit_is_0(shape: Shape) -> None:
    p, eps = double(0.3).requires_grad_(), torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    slopes = torch.autograd.grad((shape(5.0, p.expand(999), eps) * (eps < 0.7)).sum(), p)[0]
    assert float(slopes) == 0


@pytest.mark.parametrize("shape", [f3, f3p])
def test_both_sides_mirror_each_other(shape: Shape) -> None:
    eps = torch.linspace(0, 1, 501, dtype=torch.float64)
    torch.testing.assert_close(shape(4.0, double(0.3), eps), 1 - shape(4.0, double(0.7), 1 - eps))


def test_formulas_at_points_worked_by_hand() -> None:
    """p = 1/2, ε = 3/4, so that u = 1/2; and ε = 1/4 for the lower branches."""
    p, upper, lower = double(0.5), double(0.75), double(0.25)
    assert float(f1(2.0, p, upper)) == pytest.approx(math.log((math.e**2 - 1) / 2 + 1) / 2)
    assert float(f2(2.0, p, upper)) == pytest.approx(0.75)
    assert float(f2p(2.0, p, upper)) == pytest.approx(0.5**0.5)
    assert float(f2pp(2.0, p, upper)) == pytest.approx(0.75)
    assert [float(f3(2.0, p, e)) for e in (lower, upper)] == pytest.approx([0.125, 0.875])
    assert [float(f3p(2.0, p, e)) for e in (lower, upper)] == pytest.approx([0.5 - 0.5**1.5, 0.5 + 0.5**1.5])


# As printed, before the errata


def printed_f2pp(beta: float, p: Tensor, eps: Tensor) -> Tensor:
    return torch.where(eps >= 1 - p, 1 - (1 - p) / (beta * (eps - p)), 0)


def printed_f3p(beta: float, p: Tensor, eps: Tensor) -> Tensor:
    root = (-(eps + p - 1) / torch.where(eps < 1 - p, 1 - p, p)) ** (1 / beta)
    return torch.where(eps < 1 - p, (p - 1) * (root - 1), 1 + p * (root - 1))


def closed_f3(beta: float, p: Tensor, eps: Tensor) -> Tensor:
    below = torch.where(eps <= 1 - p, (1 - p) * (eps / (1 - p)) ** beta, 0)
    return below + torch.where(eps >= 1 - p, 1 - p * ((1 - eps) / p) ** beta, 0)


def test_the_printed_f2pp_does_not_end_at_1_and_has_a_pole() -> None:
    assert float(on_grid(printed_f2pp, 2.0, 0.2)[-1]) == pytest.approx(0.5)
    assert not (on_grid(printed_f2pp, 2.0, 0.8).diff() >= 0).all()


def test_the_printed_f3p_is_no_number_above_the_step() -> None:
    found, p = on_grid(printed_f3p, 2.0, 0.25), 0.25
    assert found[1600:].isnan().all()
    torch.testing.assert_close(found[:1500], on_grid(f3p, 2.0, p)[:1500])


def test_closed_indicators_count_the_step_twice() -> None:
    p = double(0.25)
    assert float(closed_f3(2.0, p, double(0.75))) == 1.5
    assert float(f3(2.0, p, double(0.75))) == float(f3p(2.0, p, double(0.75))) == 0.75


# Quadrature


@pytest.mark.parametrize("logit", [-2.0, 0.7])
@pytest.mark.parametrize(
    "name", [*(f"smoothing:f={f},beta={b}" for f in TRANSFORMS for b in (0.7, 5, 30)), "gumbel-softmax:tau=0.2"]
)
def test_own_objective_against_scipy(name: str, logit: float) -> None:
    """To 1e-8, value and derivative (by central differences of scipy's value): one bit."""
    own = make(name)
    leaf = double(logit).requires_grad_()
    value = own.relaxed_target(lambda z: f_smooth(z).sum(-1), Bernoulli(leaf))
    assert value is not None
    (slope,) = torch.autograd.grad(value, leaf)

    def reference(at: float) -> float:
        latent, p = Bernoulli(double(at)), 1 / (1 + math.exp(-at))

        def integrand(eps: float) -> float:
            return float(f_smooth(at_uniform(own, latent, double(eps))))

        edges = [
            0.0,
            *((1 - p) * (1 - 10.0**-k) for k in (1, 2, 3)),
            1 - p,
            *(1 - p + p * 10.0**-k for k in (9, 6, 3, 2)),
            1,
        ]
        edges = sorted([*edges, (1 - p) * 0.5, 1 - p / 2, 1 - p / 20, (1 - p) / 20])
        pieces = pairwise(edges)
        return sum(integrate.quad(integrand, *piece, epsabs=1e-12, epsrel=1e-11, limit=200)[0] for piece in pieces)

    assert value.item() == pytest.approx(reference(logit), rel=1e-8)
    step = 1e-3
    difference = (reference(logit + step) - reference(logit - step)) / (2 * step)
    assert float(slope) == pytest.approx(difference, rel=1e-4, abs=1e-7)


def at_uniform(estimator: Estimator, latent: Bernoulli, eps: Tensor) -> Tensor:
    if isinstance(estimator, Smoothing):
        return estimator.smooth(latent, eps)
    return latent.relax(latent.perturb(torch.logit(eps)), estimator.temperature())  # type: ignore[operator]


def make(text: str, spec: LatentSpec = BIT) -> Estimator:
    name = Name.parse(text)
    return ESTIMATORS.find(name.family).load()(spec, **name.values).eval()


@pytest.mark.parametrize("cls", OVERLAPPING)
def test_own_objective_of_a_mixture_against_its_density(cls: type[Overlapping]) -> None:
    """(1 - q) ∫ f r₀ + q ∫ f r₁, by scipy in the level of R₀: the power's density is infinite at its bit."""
    estimator, q = cls(BIT, beta=6.0), 0.3
    value = estimator.relaxed_target(lambda z: f_smooth(z).sum(-1), Bernoulli(double(q).logit()))

    def integrand(s: float, z: int) -> float:
        return float(f_smooth(double(z + (1 - 2 * z) * quantile(cls, 6.0, s))))

    edges = [0.0, 0.01, 0.05, 0.5, 0.99, 0.9999, 1.0]
    parts = [sum(integrate.quad(integrand, *piece, (z,), epsabs=1e-12)[0] for piece in pairwise(edges)) for z in (0, 1)]
    assert value is not None
    assert float(value) == pytest.approx((1 - q) * parts[0] + q * parts[1], rel=1e-7)


def cdf(cls: type[Overlapping], beta: float, x: Any) -> Any:
    """R₀."""
    exponential = (1 - np.exp(-beta * x)) / (1 - np.exp(-beta))
    if cls is DvaesGaussian:
        return stats.norm.cdf(x * beta**0.5)
    if cls is DvaeppPower:
        return np.asarray(x, dtype=float) ** (1 / beta)
    return exponential if cls is DvaeppExp else 0.95 * exponential + 0.05 * x


def quantile(cls: type[Overlapping], beta: float, s: float) -> float:
    """R₀⁻¹ by bisection."""
    low, high = (-3.0, 4.0) if cls is DvaesGaussian else (0.0, 1.0)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(cls, beta, middle) < s else (low, middle)
    return (low + high) / 2


def test_several_bits_factorise() -> None:
    estimator, latent = make("smoothing:f=f3", LatentSpec.bernoulli(3)), Bernoulli(double(-1.0, 0.2, 1.5))
    together = estimator.relaxed_target(lambda z: f_smooth(z).prod(-1), latent)
    alone = [estimator.relaxed_target(lambda z: f_smooth(z).sum(-1), Bernoulli(phi)) for phi in latent.logits.split(1)]
    torch.testing.assert_close(together, math.prod(alone))


def test_rows_of_a_batch_are_their_own() -> None:
    estimator, logits = make("dvaepp-exp", LatentSpec.bernoulli(2)), torch.randn(4, 2, dtype=torch.float64)
    scale = double(1, 2, 3, 4)
    together = estimator.relaxed_target(lambda z: scale * f_smooth(z).sum(-1), Bernoulli(logits))
    for row in range(4):
        alone = estimator.relaxed_target(lambda z: scale[row] * f_smooth(z).sum(-1), Bernoulli(logits[row]))  # noqa: B023
        torch.testing.assert_close(together[row], alone)


def test_many_bits_and_categories_have_no_own_objective() -> None:
    assert make("smoothing", LatentSpec.bernoulli(4)).relaxed_target(f_smooth, Bernoulli(torch.zeros(4))) is None
    assert (
        make("dvaes-uniform-exp", LatentSpec.bernoulli(3)).relaxed_target(f_smooth, Bernoulli(torch.zeros(3))) is None
    )
    assert make("disarm").relaxed_target(f_smooth, Bernoulli(torch.zeros(1))) is None


# Toys


def test_a_toy_knows_the_objective_of_a_relaxation() -> None:
    """The exact gradient, and f's parameters, at two bits: by central differences of the value."""
    toy, estimator = BitTable(d=2), make("smoothing:f=f3", LatentSpec.bernoulli(2))
    exact, step = toy.relaxed(estimator), 1e-4
    assert {group: tuple(tensor.shape) for group, tensor in exact.items()} == {
        "value": (),
        "cut": (2,),
        "decoder": (4,),
    }

    def value(shift: Tensor) -> float:
        moved = toy.in_float64()
        latent = moved.latent(moved.params() + shift)
        return estimator.relaxed_target(moved.objective(latent), latent).item()

    slopes = [(value(step * unit) - value(-step * unit)) / (2 * step) for unit in torch.eye(2, dtype=torch.float64)]
    assert exact["cut"].tolist() == pytest.approx(slopes, rel=1e-6)
    assert not torch.allclose(exact["cut"], toy.exact(estimator)["cut"], rtol=0.1)


def test_no_own_objective_where_it_is_not_known() -> None:
    assert TwoLayer().relaxed(make("smoothing", LatentSpec.bernoulli(2))) == {}
    assert BitTable(d=6).relaxed(make("smoothing", LatentSpec.bernoulli(6))) == {}
    assert BitTable(d=2).relaxed(make("straight-through", LatentSpec.bernoulli(2))) == {}


def test_own_rows_are_the_same_draws_judged_again() -> None:
    settings = DrawSettings(blocks=8, rows=50)
    toy = BitTable(d=2)
    draws = draw_gradients(Layers(Smoothing, {}, toy, toy.device), toy, settings, 0)
    groups = {"value", "cut", "decoder"}
    assert set(draws.judged) == groups | {f"{group} (own)" for group in groups}
    assert draws.judged["cut"][0] is draws.judged["cut (own)"][0]
    assert {row["group"] for row in Variance().rows(draws)} == groups


def test_infinite_variance_has_no_bias_test_but_for_f() -> None:
    toy = BitTable(d=2)
    draws = draw_gradients(Layers(Smoothing, {"f": "f2p"}, toy, toy.device), toy, DrawSettings(blocks=8, rows=500), 0)
    status = {row["group"]: row["status"] for row in Bias().rows(draws) if row["metric"] == "bias_p"}
    assert status["cut"] == status["cut (own)"] == "not testable"
    assert status["value"] == status["decoder (own)"] == "ok"
    infinite = {row["group"] for row in Variance().rows(draws) if row["status"] == "infinite variance"}
    assert infinite == {"cut"}


def test_check_holds_a_relaxation_to_its_own_objective() -> None:
    """And says so where it cannot."""

    def judged(name: str, kind: str) -> str:
        plugin = ESTIMATORS.find(name)
        return unbiased(Case(plugin, Name(name), plugin.load(), kind))

    assert "would be detected; for E f(z) it claims to be biased; by" in judged("gumbel-softmax", "bernoulli")
    assert "is known on no toy; for E f(z)" in judged("gumbel-softmax", "categorical")
    with pytest.raises(Failed, match=r"cut \(own\) is biased"):
        unbiased(Case(ESTIMATORS.find("dvaepp-exp"), Name("dvaepp-exp", (("beta", 3.0),)), Swapped, "bernoulli"))


# Gradients


@pytest.mark.parametrize("logit", [-3.0, 0.4])
@pytest.mark.parametrize(
    ("cls", "beta"), [(cls, beta) for cls in OVERLAPPING for beta in (3.0, 12.0 if cls is DvaeppExp else 40.0)]
)
def test_implicit_gradients_average_to_the_slope_of_the_objective(
    cls: type[Overlapping], beta: float, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ over bits and nodes of q(z) w(s) ∇f(ζ) is ∂/∂φ of Σ q(z) w(s) f(ζ), in which only q moves.

    The slopes have a ridge where the densities cross, which takes more nodes than f(ζ) does.
    """
    monkeypatch.setattr(quadrature, "NODES", 801)
    estimator = cls(BIT, beta=beta)
    found, exact = averaged(estimator, logit)
    assert found == pytest.approx(exact, rel=1e-7)


def averaged(estimator: Overlapping, logit: float) -> tuple[float, float]:
    s, weight = nodes(double(logit), estimator.breaks)
    z = torch.cat([torch.zeros_like(s), torch.ones_like(s)])
    leaf = torch.full((len(z), 1), logit, dtype=torch.float64).requires_grad_()
    latent = Bernoulli(leaf)
    draw = Draw(z.view(1, -1, 1), s.repeat(2).view(1, -1, 1))
    value = estimator.gradient(lambda zeta: f_smooth(zeta).sum(-1), latent, draw).value
    (slopes,) = torch.autograd.grad(value.sum(), leaf)
    q = 1 / (1 + math.exp(-logit))
    own = double(logit).requires_grad_()
    target = estimator.relaxed_target(lambda zeta: f_smooth(zeta).sum(-1), Bernoulli(own))
    (exact,) = torch.autograd.grad(target, own)
    return float((torch.where(z > 0, q, 1 - q) * weight.repeat(2) * slopes.squeeze(-1)).sum()), float(exact)


def test_the_implicit_gradient_is_that_of_the_inverse_in_closed_form() -> None:
    """DVAE++: m = ½(-b + √(b² - 4c)), b = (ρ + d (q - ρ)) / (1 - q) - 1, c = -q d / (1 - q), ζ = -log(m) / β."""
    beta, q = 7.0, double(0.35).requires_grad_()
    rho = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    wide, d = q.expand(99), math.exp(-beta)
    b, c = (rho + d * (wide - rho)) / (1 - wide) - 1, -wide * d / (1 - wide)
    zeta = -(0.5 * (-b + (b * b - 4 * c).sqrt())).log() / beta
    level = (1 - 0.35) * cdf(DvaeppExp, beta, zeta.detach().numpy()) + 0.35 * (
        1 - cdf(DvaeppExp, beta, 1 - zeta.detach().numpy())
    )
    np.testing.assert_allclose(level, rho, atol=1e-13)
    expected = (
        torch.stack([torch.autograd.grad(each, q, retain_graph=True)[0] for each in zeta]).squeeze(-1) * 0.35 * 0.65
    )
    leaf = q.detach().logit().expand(99, 1).clone().requires_grad_()
    s = torch.as_tensor(cdf(DvaeppExp, beta, zeta.detach().numpy())).view(1, 99, 1)
    value = DvaeppExp(BIT, beta=beta).gradient(lambda z: z.sum(-1), Bernoulli(leaf), Draw(torch.zeros_like(s), s)).value
    torch.testing.assert_close(value.detach(), zeta.detach())
    torch.testing.assert_close(torch.autograd.grad(value.sum(), leaf)[0].squeeze(-1), expected)


@pytest.mark.parametrize("cls", OVERLAPPING)
def test_zeta_follows_its_distribution(cls: type[Overlapping]) -> None:
    """Kolmogorov and Smirnov against (1 - q) R₀(ζ) + q (1 - R₀(1 - ζ)), false-alarm rate FALSE_ALARM."""
    estimator, q = cls(BIT, beta=6.0), 0.3
    latent = Bernoulli(torch.full((100_000, 1), q, dtype=torch.float64).logit())
    seen: list[Tensor] = []
    estimator(lambda z: seen.append(z) or z.sum(-1), latent, torch.Generator().manual_seed(0))  # type: ignore[func-returns-value]
    fit = stats.kstest(seen[0].flatten().numpy(), lambda x: (1 - q) * cdf(cls, 6.0, x) + q * (1 - cdf(cls, 6.0, 1 - x)))
    assert fit.pvalue >= FALSE_ALARM


def test_gaussian_smoothing_is_exact_for_quadratics_and_for_no_more(examine: Callable[..., Any]) -> None:
    assert examine(DvaesGaussian, "bit-table:d=2", rows=2000).p["cut"] >= FALSE_ALARM
    assert examine(DvaesGaussian, "bit-table:d=2,extension=cubic", rows=2000).p["cut"] < FALSE_ALARM


@pytest.mark.parametrize("name", [*(cls.name for cls in OVERLAPPING), "smoothing", "gumbel-softmax"])
def test_finite_in_float32_where_bits_are_certain(name: str) -> None:
    logits = torch.tensor([-50.0, 50.0, -17.0, 17.0]).expand(5000, 4).clone().requires_grad_()
    value = make(name, LatentSpec.bernoulli(4))(
        lambda z: f_smooth(z).sum(-1), Bernoulli(logits), torch.Generator().manual_seed(0)
    )
    assert value.isfinite().all() and torch.autograd.grad(value.sum(), logits)[0].isfinite().all()


# Claims and annealing


@pytest.mark.parametrize(("values", "finite"), [
    ({"f": "f1", "beta": 5.0}, True),
    ({"f": "f2p", "beta": 5.0}, False),
    ({"f": "f3p", "beta": 2.0}, False),
    ({"f": "f3p", "beta": 1.9}, True),
    ({"f": "f2p", "beta": 1.5, "rate": 0.1}, False),
    ({"f": "f2p", "beta": 1.5, "rate": 0.1, "max_beta": 1.9}, True),
])  # fmt: skip
def test_roots_have_infinite_variance_from_beta_2(values: dict[str, Any], finite: bool) -> None:
    assert Smoothing(BIT, **values).claim().finite_variance is finite


def test_the_sharpness_rises_with_training_steps_only() -> None:
    annealed, latent = Smoothing(BIT, beta=2.0, rate=0.1, max_beta=4.0), Bernoulli(torch.zeros(1))
    found = []
    for _ in range(12):
        found.append(float(annealed.sharpness()))
        annealed.train().estimate(lambda z: z.sum(-1), latent, None)
        annealed.eval().estimate(lambda z: z.sum(-1), latent, None)
    assert found == pytest.approx([min(4.0, 2 * math.exp(0.1 * t)) for t in range(12)], rel=1e-6)
    assert found[-1] == 4.0


def test_annealing_must_start_below_its_end() -> None:
    with pytest.raises(UsageError, match="max_beta"):
        Smoothing(BIT, beta=20.0, rate=1e-3)


# Wrong twins, caught against their own objective


class DetachedP(Smoothing):
    """The factor 1/p of u does not move with φ, the step does."""

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        p = latent.probs
        return Estimate(f(((draw + p - 1) / p.detach()).clamp_min(0) ** 0.5).squeeze(0))


class NoImplicitTerm(DvaeppExp):
    """ζ = δ or 1 - δ with the bit's straight-through gradient alone."""

    def gradient(self, f: Any, latent: Any, draw: Draw) -> Estimate:
        q = latent.probs
        z = draw.z + q - q.detach()
        return Estimate(f(z + (1 - 2 * draw.z) * self.overlap(draw.s).delta).squeeze(0))


class Swapped(DvaeppExp):
    """r(ζ|0) where r(ζ|1) belongs."""

    def overlap(self, s: Tensor) -> Overlap:
        right = super().overlap(s)
        return right._replace(near=right.far, far=right.near)


TWINS = {
    "detached p": (DetachedP, {"f": "f2p", "beta": 2.0}),
    "no implicit term": (NoImplicitTerm, {"beta": 3.0}),
    "r(ζ|0) and r(ζ|1) swapped": (Swapped, {"beta": 3.0}),
}


@pytest.mark.parametrize(("twin", "values"), TWINS.values(), ids=TWINS)
def test_a_wrong_twin_is_caught(twin: type[Estimator], values: dict[str, Any], examine: Callable[..., Any]) -> None:
    """And the right one is not."""
    right, wrong = (examine(cls, "bit-table:d=2", rows=1000, **values).p["cut (own)"] for cls in (twin.__base__, twin))
    assert wrong < FALSE_ALARM <= right


@pytest.mark.parametrize("twin", [NoImplicitTerm, Swapped])
def test_wrong_implicit_gradients_do_not_average_to_the_slope(twin: type[Overlapping]) -> None:
    found, exact = averaged(twin(BIT, beta=3.0), 0.4)
    assert found != pytest.approx(exact, rel=0.01)
