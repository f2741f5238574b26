"""Relaxations and finite differences of the argmax: exact identities, and means by quadrature over the noise."""

from __future__ import annotations

import math

import pytest
import torch
from dvae_bench.estimators.contract import Estimator
from dvae_bench.estimators.counting import CountedObjective
from dvae_bench.estimators.latents import LATENTS, Bernoulli, Categorical, Latent, LatentSpec, Objective, expectation
from dvae_bench.estimators.registry import TASKS
from dvae_bench.estimators.relaxations.direct_loss import DirectLoss
from dvae_bench.estimators.relaxations.gumbel_entmax import GumbelEntmax, entmax
from dvae_bench.estimators.relaxations.imle import Imle
from dvae_bench.estimators.relaxations.stochastic_triples import StochasticTriples, alternatives
from scipy import stats
from torch import Generator, Tensor

FALSE_ALARM = 1e-6
ALPHAS = [1.5, 2.0]


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def gradient(estimator: Estimator, f: Objective, latent: type[Latent], params: Tensor, noise: Tensor) -> Tensor:
    """What reaches the parameters of every row, noise [n, *rows, *event] being given."""
    leaf = params.detach().requires_grad_()
    own = latent(leaf)
    return torch.autograd.grad(estimator.gradient(f, own, noise).spliced(own).sum(), leaf)[0]


# Gumbel-softmax


# Gumbel-entmax


def bisected(x: Tensor, alpha: float) -> Tensor:
    """entmax with its threshold found by 100 bisections."""
    scaled = (alpha - 1) * x
    low, high = scaled.amax(-1, keepdim=True) - 1, scaled.amax(-1, keepdim=True)
    for _ in range(100):
        middle = (low + high) / 2
        too_much = ((scaled - middle).clamp_min(0) ** (1 / (alpha - 1))).sum(-1, keepdim=True) > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    return (scaled - low).clamp_min(0) ** (1 / (alpha - 1))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_entmax_solves_its_equation(alpha: float, scale: float) -> None:
    x = scale * normal(300, 7)
    y = entmax(x, alpha)
    torch.testing.assert_close(y, bisected(x, alpha), rtol=0, atol=1e-13)
    torch.testing.assert_close(y.sum(-1), torch.ones(300, dtype=torch.float64))
    assert ((y == 0).any() or scale < 1) and (y >= 0).all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_entmax_of_ties(alpha: float) -> None:
    x = torch.tensor([[2.0, 2.0, 2.0, 2.0], [1.0, 1.0, -9.0, -9.0], [50.0, -50.0, -50.0, -50.0]])
    expected = torch.tensor([[0.25] * 4, [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(entmax(x, alpha), expected)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_entmax_jacobian(alpha: float) -> None:
    """Central differences; points where a class is within the step of the edge of the support are left out."""
    x, step, margin = normal(200, 5), 1e-6, 1e-4
    unit = torch.eye(5, dtype=torch.float64).unsqueeze(1)
    difference = (bisected(x + step * unit, alpha) - bisected(x - step * unit, alpha)) / (2 * step)
    leaf = x.clone().requires_grad_()
    jacobian = torch.stack([torch.autograd.grad(entmax(leaf, alpha)[:, k].sum(), leaf)[0] for k in range(5)], -1)
    nearby = bisected(x + margin * torch.cat([unit, -unit]), alpha) > 0
    inside = (nearby == (bisected(x, alpha) > 0)).all(-1).all(0)
    assert inside.sum() > 150
    torch.testing.assert_close(jacobian[inside], difference.transpose(0, 1)[inside], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_an_entmax_bit_is_the_first_of_two_classes(alpha: float) -> None:
    logits, noise = normal(40, 3), normal(1, 40, 3, 2, seed=1)
    weight = normal(3, seed=2)
    two = torch.stack([logits, torch.zeros_like(logits)], -1)
    bits = GumbelEntmax(LatentSpec.bernoulli(3), alpha=alpha)
    sites = GumbelEntmax(LatentSpec.categorical(3, 2), alpha=alpha)
    one = gradient(bits, lambda z: (z * weight).sin().sum(-1), Bernoulli, logits, noise[..., 0] - noise[..., 1])
    both = gradient(sites, lambda z: (z[..., 0] * weight).sin().sum(-1), Categorical, two, noise)
    torch.testing.assert_close(both, torch.stack([one, -one], -1))


def test_a_sparsemax_bit_is_a_clipped_line() -> None:
    logits, noise = normal(50, 1), normal(1, 50, 1, seed=1)
    estimator = GumbelEntmax(LatentSpec.bernoulli(1), alpha=2.0, tau=0.7)
    value = estimator.gradient(lambda z: z.sum(-1), Bernoulli(logits), noise).value
    torch.testing.assert_close(value, (((logits + noise[0]) / 0.7 + 1) / 2).clamp(0, 1).squeeze(-1))


# I-MLE and direct loss


def logistic_grid(count: int) -> Tensor:
    """Logistic noise at the midpoints of `count` equal parts of (0, 1), [count]."""
    return torch.logit((torch.arange(count, dtype=torch.float64) + 0.5) / count)


@pytest.mark.parametrize("lambd", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("slopes", [(0.7, 0.7), (-0.5, 1.5), (1.5, -0.5), (-2.0, -0.3)])
def test_imle_mean_for_a_bit(lambd: float, slopes: tuple[float, float]) -> None:
    """f' = slopes[b]: b = 1 falls where 0 < φ + L < λ f'(1), and b = 0 rises where λ f'(0) < φ + L < 0.

    The midpoint rule is wrong by at most half a cell at each end of an interval.
    """
    phi, count = 0.4, 20_000
    f: Objective = lambda z: (slopes[0] * z + (slopes[1] - slopes[0]) * z.square() / 2).sum(-1)  # noqa: E731
    params, noise = torch.full((count, 1), phi, dtype=torch.float64), logistic_grid(count).view(1, count, 1)
    got = gradient(Imle(LatentSpec.bernoulli(1), lambd=lambd), f, Bernoulli, params, noise).mean()
    cdf = lambda x: 1 / (1 + math.exp(phi - x))  # noqa: E731
    falls = max(cdf(lambd * slopes[1]) - cdf(0), 0.0)
    rises = max(cdf(0) - cdf(lambd * slopes[0]), 0.0)
    assert float(got) == pytest.approx((falls - rises) / lambd, abs=1 / (count * lambd))


@pytest.mark.parametrize(("task", "kind"), [("bit-table", "bernoulli"), ("category-table", "categorical")])
@pytest.mark.parametrize("step", [0.3, 2.0])
def test_imle_is_direct_loss_where_f_is_multilinear(task: str, kind: str, step: float) -> None:
    """Then f with site d set to class c is f + ∂f/∂z_dc up to a constant: the same z, the same perturbed argmax."""
    toy = TASKS.find(task).load()("cpu", torch.float64, extension="multilinear")
    params = toy.params().detach() + normal(500, *toy.params().shape)
    latent = LATENTS[kind](params)
    noise, f = latent.noise(1, seeded()), toy.objective(latent)
    imle, direct = Imle(latent.spec, lambd=step), DirectLoss(latent.spec, eps=step)
    one, other = (gradient(estimator, f, type(latent), params, noise) for estimator in (imle, direct))
    assert one.abs().sum() > 0
    torch.testing.assert_close(one, other)


def test_imle_does_not_depend_on_the_weight_of_f_in_the_loss() -> None:
    estimator, noise, weight = Imle(LatentSpec.bernoulli(4)), normal(1, 30, 4, seed=1), normal(30, seed=2)
    weight[0] = 0.0
    leaf = normal(30, 4).requires_grad_()
    f: Objective = lambda z: z.sin().sum(-1).square()  # noqa: E731
    plain = gradient(estimator, f, Bernoulli, leaf, noise)
    value = estimator.gradient(f, Bernoulli(leaf), noise).value
    (weighted,) = torch.autograd.grad((weight * value).sum(), leaf)
    torch.testing.assert_close(weighted, weight.unsqueeze(-1) * plain)


def test_imle_averages_over_its_noise() -> None:
    params, noise = normal(30, 2, 3), normal(4, 30, 2, 3, seed=1)
    f: Objective = lambda z: (z * torch.arange(6.0).view(2, 3)).sum((-2, -1)).square()  # noqa: E731
    spec = LatentSpec.categorical(2, 3)
    one = [gradient(Imle(spec), f, Categorical, params, each.unsqueeze(0)) for each in noise]
    torch.testing.assert_close(gradient(Imle(spec, n=4), f, Categorical, params, noise), torch.stack(one).mean(0))


def test_imle_walks_f_once_and_trains_it_at_hard_samples() -> None:
    latent, weight = Bernoulli(normal(8, 5).requires_grad_()), normal(5).requires_grad_()
    counted = CountedObjective(lambda z: (z @ weight).square())
    noise = latent.noise(3, seeded())
    estimate = Imle(latent.spec, n=3).gradient(counted, latent, noise)
    estimate.value.sum().backward()
    assert (counted.evaluations, counted.differentiations) == (3, 3)
    hard = latent.harden(latent.perturb(noise))
    (expected,) = torch.autograd.grad((hard @ weight).square().mean(0).sum(), weight)
    torch.testing.assert_close(weight.grad, expected)


def test_imle_at_another_noise_temperature_has_another_distribution() -> None:
    logits, count = torch.tensor([1.2], dtype=torch.float64), 20_000
    estimator = Imle(LatentSpec.bernoulli(1), tau=3.0)
    noise = logistic_grid(count).view(1, count, 1)
    value = estimator.gradient(lambda z: z.sum(-1), Bernoulli(logits.expand(count, 1)), noise).value.mean()
    assert estimator.claim().target == "other-law"
    torch.testing.assert_close(estimator.target(lambda z: z.sum(-1), Bernoulli(logits)), (logits[0] / 3).sigmoid())
    assert float(value) == pytest.approx(1 / (1 + math.exp(-0.4)), abs=1 / count)


@pytest.mark.parametrize("eps", [0.1, 1.0, 10.0])
def test_direct_loss_mean(eps: float) -> None:
    """Two bits on a grid of their noise: E g_d = E (p_d - σ(φ_d - ε Δ_d)) / ε, Δ_d = f(b_d = 1) - f(b_d = 0).

    The value is exact where its mean is, at E f. Each indicator of the midpoint rule is wrong by one cell at most.
    """
    phi, values, count = torch.tensor([0.6, -1.1], dtype=torch.float64), normal(2, 2), 300
    noise = torch.cartesian_prod(logistic_grid(count), logistic_grid(count)).unsqueeze(0)
    f: Objective = lambda z: values[tuple(z.long().unbind(-1))]  # noqa: E731
    latent = Bernoulli(phi.expand(count**2, 2))
    estimate = DirectLoss(latent.spec, eps=eps).gradient(f, latent, noise)
    p = phi.sigmoid()
    for d, effect in enumerate((values[1] - values[0], values[:, 1] - values[:, 0])):
        other = torch.stack([1 - p[1 - d], p[1 - d]])
        mean = other @ ((p[d] - (phi[d] - eps * effect).sigmoid()) / eps)
        assert float(estimate.grad[:, d].mean()) == pytest.approx(float(mean), abs=3 / (count * eps))
    assert float(estimate.value.mean()) == pytest.approx(float(expectation(f, Bernoulli(phi))), abs=8 / count)


def test_direct_loss_tends_to_the_gradient() -> None:
    """(π - softmax(φ - ε f)) / ε on one site of four classes, whose mean over Gumbel noise it is, within O(ε)."""
    phi, values = normal(1, 4), normal(4, seed=1)
    leaf = phi.clone().requires_grad_()
    (expected,) = torch.autograd.grad((leaf.softmax(-1) @ values).sum(), leaf)
    f: Objective = lambda z: (z @ values).squeeze(-1)  # noqa: E731
    rows, eps = 40_000, 0.5
    latent = Categorical(phi.expand(rows, 1, 4))
    grad = DirectLoss(latent.spec, eps=eps).gradient(f, latent, latent.noise(1, seeded())).grad
    mean = (phi.softmax(-1) - (phi - eps * values).softmax(-1)) / eps
    z_score = (grad.mean(0) - mean) / (grad.std(0) / rows**0.5)
    assert z_score.abs().max() < stats.norm.isf(FALSE_ALARM / 8)
    limit = (phi.softmax(-1) - (phi - 1e-6 * values).softmax(-1)) / 1e-6
    torch.testing.assert_close(limit, expected, rtol=1e-5, atol=1e-7)


# Stochastic triples


def triples(latent: type[Latent], params: Tensor, repeats: int) -> dict[tuple[int, int], tuple[int, Tensor]]:
    """How often each (z, y), as configuration numbers, was drawn in `repeats` draws from every z, and its weights."""
    support = latent(params).support()

    class Given(latent):  # type: ignore[misc,valid-type]
        def sample(self, n: int, generator: Generator | None) -> Tensor:
            return support.repeat_interleave(repeats, 0).unsqueeze(0)

    every = Given(params.expand(len(support) * repeats, *params.shape))
    draw = StochasticTriples(every.spec).sample(every, seeded())
    place = (draw.z.unsqueeze(2) == support).flatten(3).all(-1).long().argmax(-1)
    found: dict[tuple[int, int], tuple[int, Tensor]] = {}
    for (z, y), weight in zip(place.T.tolist(), draw.weight, strict=True):
        count, first = found.get((z, y), (0, weight))
        torch.testing.assert_close(weight, first)
        found[z, y] = (count + 1, weight)
    return found


def in_order(pi: list[float]) -> list[int]:
    """The classes in their own order, then those below .15 of the largest, the likeliest first."""
    rare = sorted((c for c, p in enumerate(pi) if p < 0.15 * max(pi)), key=lambda c: -pi[c])
    return [c for c in range(len(pi)) if c not in rare] + rare


CASES = [(Bernoulli, (3,)), (Categorical, (1, 4)), (Categorical, (2, 3))]


@pytest.mark.parametrize("scale", (0.7, 3.0))
@pytest.mark.parametrize(("latent", "shape"), CASES)
def test_triples_are_unbiased_by_enumeration(latent: type[Latent], shape: tuple[int, ...], scale: float) -> None:
    """The kept alternative has probability A / ΣA (chi-square), A = F (1 - F) / π_x at the boundary it crosses; over
    this distribution the drawn weights give the exact gradient."""
    params = scale * normal(*shape, seed=5)
    own = latent(params)
    support, repeats = own.support(), 600
    values = normal(len(support), seed=6)
    bits = latent is Bernoulli
    pi = torch.stack([1 - own.probs, own.probs], -1) if bits else own.probs
    classes = support.long() if bits else support.argmax(-1)
    number = {tuple(code): place for place, code in enumerate(classes.tolist())}
    drawn, total = triples(latent, params, repeats), torch.zeros(shape, dtype=torch.float64)
    for z, code in enumerate(classes.tolist()):
        rates = {}
        for d, x in enumerate(code):
            order = in_order(pi[d].tolist())
            place = order.index(x)
            for boundary, step in ((place, -1), (place + 1, 1)):
                if 0 <= place + step < len(order):
                    below = float(pi[d, order[:boundary]].sum())
                    y = number[(*code[:d], order[place + step], *code[d + 1 :])]
                    rates[y] = below * (1 - below) / float(pi[d, x])
        assert {y for (start, y) in drawn if start == z} == set(rates)
        distribution = {y: rate / sum(rates.values()) for y, rate in rates.items()}
        counts = [drawn[z, y][0] for y in distribution]
        if len(distribution) > 1:
            assert stats.chisquare(counts, [repeats * p for p in distribution.values()]).pvalue > FALSE_ALARM
        q = own.log_prob(support[z]).exp()
        total += q * sum(p * (values[y] - values[z]) * drawn[z, y][1] for y, p in distribution.items())
    leaf = params.clone().requires_grad_()
    (expected,) = torch.autograd.grad((latent(leaf).log_prob(support).exp() * values).sum(), leaf)
    torch.testing.assert_close(total, expected)


RARE = [[0.0, m, 0.0] for m in (-2.0, -10.0, -20.0, -110.0)] + [[-110.0, 0.0, -20.0, -19.0, 0.5, -10.0]]


def moments(logits: Tensor, f: Tensor) -> tuple[Tensor, float]:
    """Mean [K] and variance of the gradient of one site, over every class and alternative."""
    latent, count = Categorical(logits.unsqueeze(0)), len(logits)
    every = torch.arange(count)
    y, rate, contrast = alternatives(Categorical(logits.expand(count, 1, count)), every.unsqueeze(-1))
    total = rate.sum(-1, keepdim=True)
    g = ((f[y] - f[every].view(-1, 1, 1)) * 0.5 * total).unsqueeze(-1) * contrast
    weight = (latent.probs.view(-1, 1, 1) * rate / total).nan_to_num(0).unsqueeze(-1)  # NaN: a class that underflows
    g = torch.where(weight > 0, g, 0)
    mean = (weight * g).sum((0, 1, 2))
    return mean, float((weight * (g - mean).square()).sum())


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("logits", RARE)
def test_triples_pass_over_rare_classes(logits: list[float], dtype: torch.dtype) -> None:
    """The exact gradient, with no more variance than REINFORCE: between neighbours in the classes' own order the
    variance is 60,649 at m = -10, and half the gradient is that of draws which float32 never makes."""
    phi = torch.tensor(logits, dtype=dtype)
    f = torch.tensor([0.0, 5.0, 1.0, 2.0, -1.0, 3.0], dtype=dtype)[: len(phi)]
    mean, variance = moments(phi, f)
    pi = phi.double().softmax(-1)
    exact = pi * (f - (pi * f).sum())
    torch.testing.assert_close(mean.double(), exact, rtol=1e-5, atol=1e-6)
    scores = f.unsqueeze(-1) * (torch.eye(len(pi)) - pi)
    assert variance <= float((pi.unsqueeze(-1) * (scores - exact).square()).sum())


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_draws_of_triples_have_the_gradient_at_a_rare_class(dtype: torch.dtype) -> None:
    """At m = -20 every draw is the exact gradient, but for a class of probability 1e-9."""
    latent = Categorical(torch.tensor([[0.0, -20.0, 0.0]], dtype=dtype).expand(1000, 1, 3))
    estimator = StochasticTriples(latent.spec)
    f = torch.tensor([0.0, 5.0, 1.0], dtype=dtype)
    found = estimator.estimate(lambda z: (z * f).sum((-2, -1)), latent, seeded()).grad
    torch.testing.assert_close(
        found, torch.tensor([[-0.25, 0.0, 0.25]], dtype=dtype).expand_as(found), rtol=0, atol=1e-6
    )


def test_triples_of_a_bit_weigh_its_other_value() -> None:
    """f(1) - f(0) has weight ½ p after b = 0 and ½ (1 - p) after b = 1, as in DARN(½)."""
    p = torch.tensor([0.3], dtype=torch.float64).sigmoid()
    drawn = triples(Bernoulli, torch.tensor([0.3], dtype=torch.float64), 1)
    torch.testing.assert_close(drawn[0, 1][1], p / 2)
    torch.testing.assert_close(drawn[1, 0][1], (p - 1) / 2)


def test_triples_ignore_a_shift_of_the_logits() -> None:
    latent = Categorical(normal(500, 2, 5))
    draw = StochasticTriples(latent.spec).sample(latent, seeded())
    torch.testing.assert_close(draw.weight.sum(-1), torch.zeros(500, 2, dtype=torch.float64))
    moved = draw.z[0].argmax(-1) != draw.z[1].argmax(-1)
    assert (moved.sum(-1) == 1).all()
