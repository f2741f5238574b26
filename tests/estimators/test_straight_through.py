"""The theory of the straight-through family: exact identities draw by draw, and expectations by enumeration.

Sampled comparisons allow 5 standard errors: with the few coordinates compared, false alarms below 1e-4 under fresh
seeds; with the fixed seeds there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from dvae_bench.estimators.contract import Estimator
from dvae_bench.estimators.latents import LATENTS, Bernoulli, Categorical, Latent, expectation
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.straight_through.decoupled_st_gumbel_softmax import DecoupledStGumbelSoftmax
from dvae_bench.estimators.straight_through.gumbel_rao import GumbelRao
from dvae_bench.estimators.straight_through.mve import Mve
from dvae_bench.estimators.straight_through.reinmax_cv import ReinmaxCv
from dvae_bench.estimators.straight_through.reinmax_rao import ReinmaxRao
from dvae_bench.estimators.straight_through.slope_annealed_st import SlopeAnnealedSt
from dvae_bench.estimators.straight_through.st_gumbel_softmax import StGumbelSoftmax
from dvae_bench.estimators.straight_through.surrogates import Relaxed
from torch import Generator, Tensor

EXACT = 1e-12
STANDARD_ERRORS = 5.0
ALPHA = 1e-6
SHAPES = {"bernoulli": (4,), "categorical": (3, 4)}
KINDS = pytest.mark.parametrize("kind", list(SHAPES))


def make(name: str, latent: Latent, **values: Any) -> Estimator:
    return ESTIMATORS.find(name).load()(latent.spec, **values).double().eval()


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logits_of(kind: str, seed: int = 1) -> Tensor:
    return normal(*SHAPES[kind], seed=seed)


def flat(z: Tensor, kind: str) -> Tensor:
    return z.flatten(-len(SHAPES[kind]))


def linear(kind: str) -> Callable[[Tensor], Tensor]:
    return lambda z: flat(z, kind) @ normal(flat(logits_of(kind), kind).numel(), seed=2)


def site_quadratic(kind: str) -> Callable[[Tensor], Tensor]:
    """All products of sites, squares within each: of any degree altogether, of degree 2 in each site alone."""

    def f(z: Tensor) -> Tensor:
        sites = z.unsqueeze(-1) if kind == "bernoulli" else z
        inner = normal(*sites.shape[-2:], sites.shape[-1], seed=3)
        within = (sites.unsqueeze(-2) @ inner @ sites.unsqueeze(-1)).squeeze((-1, -2))
        return (1 + within + (sites * normal(*sites.shape[-2:], seed=4)).sum(-1)).prod(-1)

    return f


def curved(kind: str) -> Callable[[Tensor], Tensor]:
    return lambda z: (2 * flat(z, kind) @ normal(flat(logits_of(kind), kind).numel(), 3, seed=5)).sin().sum(-1)


def pull(estimator: Estimator, latent: Callable[[Tensor], Latent], rows: Tensor, f: Any, draw: Any) -> Tensor:
    """g for every row [rows, *param_shape] of logits, given the draw."""
    leaf = rows.detach().clone().requires_grad_()
    estimate = estimator.gradient(f, latent(leaf), draw)
    assert estimate.grad is None
    (g,) = torch.autograd.grad(estimate.value.sum(), leaf)
    return g


def every_draw(name: str, kind: str, f: Any, logits: Tensor | None = None, **values: Any) -> tuple[Tensor, Tensor]:
    """q(z) and g(z) for every configuration z: of an estimator whose draw is z itself."""
    logits = logits_of(kind) if logits is None else logits
    latent = LATENTS[kind](logits)
    support = latent.support()
    rows = logits.expand_as(support)
    g = pull(make(name, latent, **values), LATENTS[kind], rows, f, support.unsqueeze(0))
    return latent.log_prob(support).exp(), g


def mean_and_variance(q: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.tensordot(q, g, 1)
    return mean, torch.tensordot(q, (g - mean).square(), 1)


def exact(kind: str, f: Any, logits: Tensor | None = None) -> Tensor:
    leaf = (logits_of(kind) if logits is None else logits).clone().requires_grad_()
    (g,) = torch.autograd.grad(expectation(f, LATENTS[kind](leaf)), leaf)
    return g


def bias(name: str, kind: str, f: Any, logits: Tensor | None = None, **values: Any) -> float:
    mean, _ = mean_and_variance(*every_draw(name, kind, f, logits, **values))
    return float((mean - exact(kind, f, logits)).abs().max())


def close(a: Tensor, b: Tensor, tolerance: float = EXACT) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def sampled(estimator: Estimator, latent: type[Latent], logits: Tensor, f: Any, rows: int, seed: int) -> Tensor:
    """`rows` draws of g."""
    expanded = logits.expand(rows, *logits.shape)
    draw = estimator.sample(latent(expanded), torch.Generator().manual_seed(seed))
    return pull(estimator, latent, expanded, f, draw)


def agree(a: Tensor, b: Tensor) -> None:
    """Two samples [rows, ...] have the same mean, within their standard errors."""
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    assert bool(((a.mean(0) - b.mean(0)).abs() <= STANDARD_ERRORS * error).all())


@KINDS
@pytest.mark.parametrize("name", ["straight-through", "mve", "zgr", "reinmax"])
def test_exact_on_linear_f(name: str, kind: str) -> None:
    values = {"temp": 7.0} if name == "mve" else {}
    assert bias(name, kind, linear(kind), **values) < EXACT


@pytest.mark.parametrize(("name", "kind"), [("zgr", k) for k in SHAPES] + [("reinmax", k) for k in SHAPES])
def test_exact_on_f_quadratic_in_each_site(name: str, kind: str) -> None:
    assert bias(name, kind, site_quadratic(kind)) < EXACT
    assert bias(name, kind, curved(kind)) > 1e-2


def test_darn_is_exact_on_f_quadratic_in_each_bit() -> None:
    assert bias("darn", "bernoulli", site_quadratic("bernoulli")) < EXACT
    assert bias("darn", "bernoulli", curved("bernoulli")) > 1e-2


@KINDS
def test_others_are_not_exact_on_quadratics(kind: str) -> None:
    f = site_quadratic(kind)
    for name, values in (("straight-through", {}), ("gapped-st", {}), ("reinmax", {"tau": 1.5}), ("identity-st", {})):
        assert bias(name, kind, f, **values) > 1e-2
    assert bias("gapped-st", kind, linear(kind)) > 1e-2


@KINDS
def test_reinmax_at_temperature_one_is_zgr(kind: str) -> None:
    _, reinmax = every_draw("reinmax", kind, curved(kind), tau=1.0)
    _, zgr = every_draw("zgr", kind, curved(kind))
    close(reinmax, zgr)


def test_darn_is_zgr_on_bits() -> None:
    close(
        every_draw("darn", "bernoulli", curved("bernoulli"))[1], every_draw("zgr", "bernoulli", curved("bernoulli"))[1]
    )


@KINDS
def test_zgr_is_half_straight_through_and_half_along_the_score(kind: str) -> None:
    f, latent = curved(kind), LATENTS[kind](logits_of(kind))
    z = latent.support().requires_grad_()
    (j,) = torch.autograd.grad(f(z).sum(), z)
    score = latent.score(z)
    along = score * j if kind == "bernoulli" else (score * j).sum(-1, keepdim=True)
    _, st = every_draw("straight-through", kind, f)
    close(every_draw("zgr", kind, f)[1], 0.5 * (st + score * along))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("straight-through", {"tau": 0.7}),
        ("gapped-st", {"gap": 0.6, "tau": 0.8}),
        ("zgr", {}),
        ("reinmax", {"tau": 1.3}),
        ("mve", {"temp": 0.0}),
        ("mve", {"temp": 3.0}),
        ("mve", {"temp": 1e6}),
    ],
)
def test_a_bit_is_a_site_of_two_classes_with_logits_0_and_phi(name: str, values: dict[str, float]) -> None:
    logits, f = logits_of("bernoulli"), curved("bernoulli")
    _, g = every_draw(name, "bernoulli", f, **values)
    two = torch.stack([torch.zeros_like(logits), logits], -1)
    support = Bernoulli(logits).support()
    hard = torch.stack([1 - support, support], -1)
    estimator = make(name, Categorical(two), **values)
    of_two = pull(estimator, Categorical, two.expand_as(hard), lambda z: f(z[..., 1]), hard.unsqueeze(0))
    close(g, of_two[..., 1])
    close(-g, of_two[..., 0])


@KINDS
def test_identity_copies_the_gradient(kind: str) -> None:
    f = curved(kind)
    z = LATENTS[kind](logits_of(kind)).support().requires_grad_()
    (j,) = torch.autograd.grad(f(z).sum(), z)
    close(every_draw("identity-st", kind, f)[1], j)


def test_identity_on_linear_f_has_the_scale_of_a_gradient_in_p() -> None:
    p = logits_of("bernoulli").sigmoid()
    mean, _ = mean_and_variance(*every_draw("identity-st", "bernoulli", linear("bernoulli")))
    close(mean * p * (1 - p), exact("bernoulli", linear("bernoulli")))


def test_a_slope_is_an_inverse_temperature() -> None:
    f = curved("bernoulli")
    _, steep = every_draw("slope-annealed-st", "bernoulli", f, start=2.5)
    close(steep, every_draw("straight-through", "bernoulli", f, tau=1 / 2.5)[1])


def test_the_slope_is_annealed_in_train_only_and_capped() -> None:
    latent = Bernoulli(logits_of("bernoulli"))
    estimator = SlopeAnnealedSt(latent.spec, start=2.0, rate=0.1, max_slope=2.5)
    slopes = []
    for training in (True, True, False, True, True):
        estimator.train(training).estimate(linear("bernoulli"), latent, torch.Generator().manual_seed(0))
        slopes.append(float(estimator.slope()))
    assert slopes == pytest.approx([2.2, 2.4, 2.4, 2.5, 2.5])


@KINDS
def test_decoupled_at_temperatures_one_is_the_straight_through_gumbel_softmax(kind: str) -> None:
    logits, f = logits_of(kind), curved(kind)
    latent, rows = LATENTS[kind], logits.expand(64, *logits.shape)
    noise = latent(rows).noise(1, torch.Generator().manual_seed(6))
    decoupled = make("decoupled-st-gumbel-softmax", latent(logits), tau_backward=1.0)
    plain = make("st-gumbel-softmax", latent(logits), tau=1.0)
    close(pull(decoupled, latent, rows, f, noise), pull(plain, latent, rows, f, noise))


@KINDS
def test_the_forward_temperature_tempers_the_distribution_of_z(kind: str) -> None:
    logits, rows = logits_of(kind), 20000
    latent = LATENTS[kind](logits.expand(rows, *logits.shape))
    estimator = DecoupledStGumbelSoftmax(latent.spec, tau_forward=3.0)
    assert estimator.claim().target == "other-law"
    assert DecoupledStGumbelSoftmax(latent.spec).claim().target == "discrete"
    seen: list[Tensor] = []

    def f(z: Tensor) -> Tensor:
        seen.append(z)
        return flat(z, kind).sum(-1)

    estimator.gradient(f, latent, estimator.sample(latent, torch.Generator().manual_seed(7)))
    p = LATENTS[kind](logits).tempered_probs(3.0)
    error = (p * (1 - p) / rows).sqrt()
    assert bool(((seen[0][0].mean(0) - p).abs() <= STANDARD_ERRORS * error).all())
    close(estimator.target(lambda z: flat(z, kind).sum(-1), LATENTS[kind](logits)), p.sum())


@pytest.mark.parametrize(
    ("name", "values"), [("decoupled-st-gumbel-softmax", {"tau_forward": 2.0}), ("imle", {"tau": 2.0})]
)
def test_another_distribution_is_the_target_that_it_is_judged_by(
    name: str, values: dict[str, float], examine: Callable[..., Any]
) -> None:
    """f's own gradient at draws of softmax(φ/2) is unbiased for E f under it, and biased for E_q f."""
    cls = ESTIMATORS.find(name).load()
    assert examine(cls, "category-table", **values).p["decoder"] > ALPHA
    wrong = type(cls.__name__, (cls,), {"target": Estimator.target})
    assert examine(wrong, "category-table", **values).p["decoder"] < ALPHA


@KINDS
@pytest.mark.parametrize("k", [1, 10])
def test_gumbel_rao_has_the_mean_of_the_straight_through_gumbel_softmax(kind: str, k: int) -> None:
    logits, f = logits_of(kind), curved(kind)
    latent = LATENTS[kind]
    spec = latent(logits).spec
    plain = sampled(StGumbelSoftmax(spec, tau=0.5), latent, logits, f, rows=20000, seed=8)
    rao = sampled(GumbelRao(spec, tau=0.5, k=k), latent, logits, f, rows=20000, seed=9)
    agree(plain, rao)
    if k == 1:
        agree(plain.square(), rao.square())


@KINDS
def test_the_variance_of_gumbel_rao_falls_with_k_to_its_part_between_draws(kind: str) -> None:
    """var(k) = between + within/k (Paulus et al. 2021, Prop. 3), so that var(1) - var(2) = 2 (var(2) - var(4))."""
    logits, f = logits_of(kind), curved(kind)
    latent = LATENTS[kind]
    spec, rows = latent(logits).spec, 20000
    totals, errors = {}, {}
    for k in (1, 2, 4):
        g = sampled(GumbelRao(spec, tau=0.5, k=k), latent, logits, f, rows=rows, seed=10 + k)
        squares = (g - g.mean(0)).square().flatten(1).sum(1)
        totals[k], errors[k] = squares.mean(), squares.var() / rows
    assert totals[1] - totals[4] > STANDARD_ERRORS * (errors[1] + errors[4]).sqrt()
    defect = totals[1] - 3 * totals[2] + 2 * totals[4]
    assert abs(defect) <= STANDARD_ERRORS * (errors[1] + 9 * errors[2] + 4 * errors[4]).sqrt()


def test_gumbel_rao_goes_to_zgr_as_the_temperature_goes_to_zero() -> None:
    """On bits; at τ > 0 the mean is off by less than τ (a third of that: τ log 2 times the slope of the density)."""
    logits, tau, k = torch.tensor([[0.7], [0.7], [-1.2], [-1.2]], dtype=torch.float64), 0.01, 200000
    z = torch.tensor([[0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    given = Bernoulli(logits).condition(z, k, torch.Generator().manual_seed(14))
    y = (given / tau).sigmoid()
    samples = y * (1 - y) / tau
    limit = 0.5 * (z - logits.sigmoid()).abs()
    error = samples.std(0) / k**0.5
    assert bool(((samples.mean(0) - limit).abs() <= STANDARD_ERRORS * error + tau).all())


def test_the_gap_as_the_paper_writes_it() -> None:
    """m1 lifts the drawn logit to the largest, m2 pushes the others at least a gap below it."""
    logits, gap = logits_of("categorical"), 0.8
    latent = Categorical(logits)
    z = latent.support()
    top = logits.amax(-1, keepdim=True)
    m1 = top - (z * logits).sum(-1, keepdim=True)
    m2 = (logits - top + gap).clamp_min(0) * (1 - z)
    close(latent.gapped(z, gap), logits + m1 * z - m2)


@KINDS
def test_mve_at_zero_is_straight_through(kind: str) -> None:
    f = curved(kind)
    close(every_draw("mve", kind, f, temp=0.0)[1], every_draw("straight-through", kind, f)[1])


def test_mve_at_infinity_is_darn_on_bits() -> None:
    f = curved("bernoulli")
    close(every_draw("mve", "bernoulli", f, temp=1e14)[1], every_draw("darn", "bernoulli", f)[1])


@KINDS
def test_the_bias_of_mve_on_quadratics_falls_as_one_over_temp(kind: str) -> None:
    f = site_quadratic(kind)
    biases = [bias("mve", kind, f, temp=temp) for temp in (1e4, 1e5, 1e6)]
    assert biases[0] / biases[1] == pytest.approx(10, rel=0.01)
    assert biases[1] / biases[2] == pytest.approx(10, rel=0.01)
    assert biases[2] < 1e-4


def test_the_bias_of_mve_can_grow_with_temp() -> None:
    """f = Σ a_c z_c⁴ at four equal classes: J_c = 4 a_c z_c, so straight-through is exact, and ZGR twice too large."""
    logits, a = torch.zeros(1, 4, dtype=torch.float64), normal(1, 4, seed=15)

    def f(z: Tensor) -> Tensor:
        return (a * z**4).sum((-2, -1))

    biases = [bias("mve", "categorical", f, logits, temp=temp) for temp in (0.0, 0.1, 1.0, 10.0, 1e3, 1e6)]
    assert biases[0] < EXACT
    assert biases == sorted(biases)
    assert biases[-1] == pytest.approx(float(exact("categorical", f, logits).abs().max()), rel=1e-5)


def surrogate_matrices(pi: Tensor, temp: float) -> Tensor:
    """S [x, i, c] of mve, ∂z_i/∂φ_c given the draw x, from the gradients of z_i."""
    logits = pi.log().unsqueeze(0)
    spec = Categorical(logits).spec
    classes = logits.shape[-1]
    one_hot = torch.eye(classes, dtype=logits.dtype).view(1, classes, 1, classes)
    rows = logits.expand(classes, 1, classes)
    estimator = Mve(spec, temp=temp)
    return torch.stack(
        [pull(estimator, Categorical, rows, lambda z, i=i: z[..., 0, i], one_hot)[:, 0] for i in range(classes)], 1
    )


@pytest.mark.parametrize("temp", [0.5, 4.0, 300.0])
def test_mve_is_the_optimum_it_is_defined_as(temp: float) -> None:
    """Against a dense solve for the S that minimises Σ_x π_x |S_x|² + t/2 Σ_ix |π_x S_x[i] + π_i S_i[x] - δ_ix G_x|²
    with Σ_x π_x S_x = G = diag(π) - ππᵀ (exact for linear f): the second term is the squared bias on f = ½ zᵀ Q z,
    averaged over symmetric Q.
    """
    pi = normal(4, seed=16).softmax(-1)
    classes = len(pi)
    jacobian = torch.diag(pi) - torch.outer(pi, pi)
    names = [(x, i) for x in range(classes) for i in range(classes)]
    curvature = torch.diag(torch.tensor([float(pi[x]) for x, _ in names], dtype=pi.dtype))
    pull_towards = torch.zeros(len(names), classes, dtype=pi.dtype)
    for x, i in names:
        row = torch.zeros(len(names), dtype=pi.dtype)
        row[names.index((x, i))] += pi[x]
        row[names.index((i, x))] += pi[i]
        curvature += temp / 2 * torch.outer(row, row)
        if i == x:
            pull_towards += temp / 2 * torch.outer(row, jacobian[x])
    constraint = torch.zeros(classes, len(names), dtype=pi.dtype)
    for column, (x, i) in enumerate(names):
        constraint[i, column] = pi[x]
    kkt = torch.cat(
        [
            torch.cat([curvature, constraint.T], 1),
            torch.cat([constraint, torch.zeros(classes, classes, dtype=pi.dtype)], 1),
        ]
    )
    optimum = torch.linalg.solve(kkt, torch.cat([pull_towards, jacobian]))[: len(names)]
    close(surrogate_matrices(pi, temp), optimum.view(classes, classes, classes), 1e-10)


@pytest.mark.parametrize("temp", [0.0, 1.0, 1e3, 1e6])
def test_mve_in_single_precision(temp: float) -> None:
    """Logits of ±5, so that a class has a probability of about 1e-5: the error is that of float32, not of the system.

    Rounding in π and in w is enlarged by at most 1/π_x in the equation of the class drawn; measured against that.
    """
    logits = 5 * normal(50, 3, 8, seed=17).clamp(-1, 1)
    j, rows = normal(3, 8, seed=18), 50
    z = Categorical(logits).sample(1, torch.Generator().manual_seed(19))
    spec = Categorical(logits).spec

    def gradient(dtype: torch.dtype) -> Tensor:
        weight = j.to(dtype)
        f = lambda y: (y * weight).sum((-2, -1))  # noqa: E731
        return pull(Mve(spec, temp=temp), Categorical, logits.to(dtype), f, z.to(dtype)).double()

    drawn = (z[0] * logits.softmax(-1)).sum(-1, keepdim=True)
    error = (gradient(torch.float32) - gradient(torch.float64)).abs() * drawn
    assert error.shape[0] == rows
    assert float(error.max()) < 100 * torch.finfo(torch.float32).eps


@KINDS
def test_the_midpoint_has_the_mean_of_pi_and_the_draw(kind: str) -> None:
    latent = LATENTS[kind](20 * logits_of(kind))
    z = latent.support()
    close(latent.midpoint(z).probs, 0.5 * (latent.probs + z))


@KINDS
def test_reinmax_rao_with_the_midpoint_for_its_relaxed_samples_is_reinmax(kind: str) -> None:
    logits, f = logits_of(kind), curved(kind)
    latent = LATENTS[kind](logits)
    z = latent.support().unsqueeze(0)
    draw = Relaxed(z, 0.5 * (latent.probs + z))
    rao = pull(ReinmaxRao(latent.spec, tau=1.0), LATENTS[kind], logits.expand_as(z[0]), f, draw)
    close(rao, every_draw("reinmax", kind, f)[1])


@KINDS
def test_the_relaxed_samples_of_reinmax_rao_are_gumbel_softmax_samples_given_the_draw(kind: str) -> None:
    """Against rejection: Gumbel-softmax samples at the midpoint's logits, of which those with argmax z are kept."""
    logits, tau, k = logits_of(kind), 0.7, 20000
    latent = LATENTS[kind](logits)
    draw = ReinmaxRao(latent.spec, tau=tau, k=k).sample(latent, torch.Generator().manual_seed(20))
    middle = latent.midpoint(draw.hard[0])
    free = middle.perturb(middle.noise(k, torch.Generator().manual_seed(21)))
    fits = middle.harden(free) == draw.hard
    kept = fits if kind == "bernoulli" else fits.all(-1, keepdim=True).expand_as(fits)
    soft = middle.relax(free, tau)
    count = kept.sum(0)
    mean = (soft * kept).sum(0) / count
    variance = (soft.square() * kept).sum(0) / count - mean.square()
    error = (variance / count + draw.soft.var(0) / k).sqrt()
    assert bool(((draw.soft.mean(0) - mean).abs() <= STANDARD_ERRORS * error).all())
    assert bool((middle.harden(draw.soft - 0.5 if kind == "bernoulli" else draw.soft) == draw.hard).all())


@KINDS
def test_reinmax_cv_has_the_mean_of_reinmax_and_more_variance(kind: str) -> None:
    logits, f = logits_of(kind), curved(kind)
    latent = LATENTS[kind]
    spec = latent(logits).spec
    none, some = (sampled(ReinmaxCv(spec, k=4, eta=eta), latent, logits, f, rows=20000, seed=22) for eta in (0.0, 1.5))
    agree(some, none)
    added = (some - none).square().flatten(1).sum(1)
    assert added.mean() > 0 and some.var(0).sum() > none.var(0).sum()


class WithTheNoiseOfTheDraw(ReinmaxCv):
    """y_0 made of the noise that drew z at φ, as in the first author's code."""

    def sample(self, latent: Any, generator: Generator | None) -> Relaxed:
        noise = latent.noise(1, generator)
        z = latent.harden(latent.perturb(noise))
        middle = latent.midpoint(z[0])
        rao = middle.relax(middle.condition(z[0], self.k, generator), self.tau)
        return Relaxed(z, torch.cat([middle.relax(middle.perturb(noise), self.tau), rao]))


def test_reinmax_cv_keeps_the_mean_of_reinmax_only_with_noise_drawn_given_z() -> None:
    """On linear f, for which ReinMax is exact; with the noise that drew z the bias is half the gradient."""
    logits = normal(1, 4, seed=1)
    latent, weights, rows = Categorical(logits), normal(4, seed=2), 20000

    def f(z: Tensor) -> Tensor:
        return z.flatten(-2) @ weights

    leaf = logits.clone().requires_grad_()
    (exact,) = torch.autograd.grad(expectation(f, Categorical(leaf)), leaf)
    for cls, right in ((ReinmaxCv, True), (WithTheNoiseOfTheDraw, False)):
        g = sampled(cls(latent.spec), Categorical, logits, f, rows=rows, seed=23)
        within = ((g.mean(0) - exact).abs() <= STANDARD_ERRORS * (g.var(0) / rows).sqrt()).all()
        assert bool(within) is right


@KINDS
def test_reinmax_cv_without_its_control_variate_is_reinmax(kind: str) -> None:
    logits, f = logits_of(kind), curved(kind)
    latent = LATENTS[kind](logits)
    z = latent.support().unsqueeze(0)
    draw = ReinmaxCv(latent.spec, eta=0.0).sample(LATENTS[kind](logits.expand_as(z[0])), torch.Generator())
    g = pull(ReinmaxCv(latent.spec, eta=0.0), LATENTS[kind], logits.expand_as(z[0]), f, draw._replace(hard=z))
    close(g, every_draw("reinmax", kind, f)[1])


@KINDS
@pytest.mark.parametrize(
    "name",
    [
        "identity-st",
        "gapped-st",
        "zgr",
        "reinmax",
        "mve",
        "gumbel-rao",
        "reinmax-rao",
        "reinmax-cv",
        "decoupled-st-gumbel-softmax",
    ],
)
def test_f_sees_a_hard_z_once(name: str, kind: str) -> None:
    logits = logits_of(kind).expand(5, *SHAPES[kind])
    latent = LATENTS[kind](logits.clone().requires_grad_())
    seen: list[Tensor] = []

    def f(z: Tensor) -> Tensor:
        seen.append(z.detach())
        return flat(z, kind).sum(-1)

    make(name, latent)(f, latent, Generator().manual_seed(22))
    assert len(seen) == 1
    assert seen[0].shape == (1, *logits.shape)
    assert bool(((seen[0] == 0) | (seen[0] == 1)).all())
