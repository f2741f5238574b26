"""Estimators that sum over configurations: their expectations and variances by enumeration, in float64.

FALSE_ALARM is the chance of a false alarm in a statistical test under fresh seeds; with the fixed ones there is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from dvae_bench.estimators.contract import Estimate, expand_right
from dvae_bench.estimators.enumeration.exact import Exact
from dvae_bench.estimators.enumeration.local_expectation import LocalExpectation
from dvae_bench.estimators.enumeration.measure_valued import MeasureValued, Parts
from dvae_bench.estimators.enumeration.sparsemax import Sparsemax, sparsemax
from dvae_bench.estimators.enumeration.stratified import Stratified
from dvae_bench.estimators.enumeration.sum_and_sample import SumAndSample, Weighted
from dvae_bench.estimators.enumeration.unordered_set import UnorderedSet
from dvae_bench.estimators.enumeration.without_replacement import draw_rest, log_rest, most_probable, subtrees
from dvae_bench.estimators.latents import Bernoulli, Categorical, Latent, expectation, sites
from dvae_bench.estimators.score_function.reinforce import Reinforce
from dvae_bench.estimators.score_function.rloo import Rloo
from scipy import stats
from torch import Tensor

FALSE_ALARM = 1e-6
LATENTS = {
    "bits": Bernoulli(torch.tensor([-0.8, 0.4, 1.3], dtype=torch.float64)),
    "classes": Categorical(torch.tensor([[0.3, -1.0, 0.7], [1.5, 0.2, -0.4]], dtype=torch.float64)),
}
both = pytest.mark.parametrize("kind", LATENTS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


class Table:
    """f(z) = values[configuration of z], standard normal; the values are f's own parameters."""

    def __init__(self, latent: Latent) -> None:
        self.latent = latent
        self.values = torch.randn(latent.spec.configurations, generator=seeded(1), dtype=torch.float64).requires_grad_()

    def number(self, z: Tensor) -> Tensor:
        classes = sites.classes(self.latent, z)
        width = 2 if self.latent.spec.kind == "bernoulli" else self.latent.spec.event_shape[-1]
        return (classes * width ** torch.arange(classes.shape[-1])).sum(-1)

    def __call__(self, z: Tensor) -> Tensor:
        return self.values[self.number(z)]


def rows(latent: Latent, count: int) -> Latent:
    """The latent in a batch of `count` equal rows."""
    return type(latent)(latent.params.expand(count, *latent.params.shape))


def exact(latent: Latent, f: Table) -> list[Tensor]:
    """E_q f and its gradients in the latent's parameters and in f's."""
    leaf = latent.params.clone().requires_grad_()
    value = expectation(f, type(latent)(leaf))
    return [value.detach(), *torch.autograd.grad(value, [leaf, f.values])]


def expected(estimate: Estimate, probability: Tensor, f: Table) -> list[Tensor]:
    """The same three of an estimate whose rows are all the draws there are, each of the given probability."""
    assert estimate.grad is not None
    close(probability.sum(), torch.ones((), dtype=torch.float64))
    value = (probability * estimate.value).sum()
    (decoder,) = torch.autograd.grad(value, f.values)
    return [value.detach(), (expand_right(probability, estimate.grad) * estimate.grad).sum(0), decoder]


def variance(estimate: Estimate, probability: Tensor) -> Tensor:
    """Of every coordinate of the gradient."""
    assert estimate.grad is not None
    weight = expand_right(probability, estimate.grad)
    return (weight * estimate.grad.square()).sum(0) - (weight * estimate.grad).sum(0).square()


def reinforce(latent: Latent, f: Table) -> tuple[Estimate, Tensor]:
    """REINFORCE of one draw at every z, and the probability of each."""
    z = latent.support()
    return Reinforce(latent.spec, n=1).gradient(f, rows(latent, len(z)), z.unsqueeze(0)), latent.log_prob(z).exp()


def local_expectation(latent: Latent, f: Table) -> tuple[Estimate, Tensor]:
    z = latent.support()
    return LocalExpectation(latent.spec).gradient(f, rows(latent, len(z)), z.unsqueeze(0)), latent.log_prob(z).exp()


def measure_valued(latent: Latent, f: Table) -> tuple[Estimate, Tensor]:
    """At every z and every choice of the negative classes."""
    pi = sites.log_probs(latent).exp()
    count, classes = pi.shape
    own = sites.classes(latent, latent.support())
    options = [[c for c in range(classes) if c != excluded] for excluded in range(1, classes) for _ in range(count)]
    negative = torch.tensor(list(itertools.product(*options))).view(-1, classes - 1, count)
    chosen = pi.expand(classes - 1, count, classes).gather(-1, negative.movedim(0, -1)).movedim(-1, 0)
    probability = (chosen / (1 - pi[:, 1:].T)).prod(-1).prod(-1)
    z, part = (i.flatten() for i in torch.meshgrid(torch.arange(len(own)), torch.arange(len(negative)), indexing="ij"))
    draw = Parts(own[z].unsqueeze(0), negative[part].movedim(1, 0))
    estimate = MeasureValued(latent.spec).gradient(f, rows(latent, len(z)), draw)
    return estimate, latent.log_prob(latent.support()).exp()[z] * probability[part]


def sum_and_sample(latent: Latent, f: Table, k: int) -> tuple[Estimate, Tensor]:
    """At every configuration that is not among the k - 1 most probable."""
    estimator, z = SumAndSample(latent.spec, k=k), latent.support()
    draw = estimator.sample(latent, seeded())
    numbers = f.number(draw.z[:-1]).tolist()
    others = [i for i in range(len(z)) if i not in numbers]
    all_z = torch.cat([draw.z[:-1].unsqueeze(1).expand(-1, len(others), *z.shape[1:]), z[others].unsqueeze(0)])
    q = latent.log_prob(z[others]).exp()
    log_weight = draw.log_weight.unsqueeze(1).expand(-1, len(others))
    return estimator.gradient(f, rows(latent, len(others)), Weighted(all_z, log_weight)), q / q.sum()


def ordered(q: list[float], chosen: tuple[int, ...], gone: tuple[int, ...] = ()) -> float:
    """The probability of these, in this order, without replacement, from what `gone` leaves."""
    left, probability = 1 - sum(q[i] for i in gone), 1.0
    for i in chosen:
        probability, left = probability * q[i] / left, left - q[i]
    return probability


def unordered(q: list[float], chosen: tuple[int, ...], gone: tuple[int, ...] = ()) -> float:
    return sum(ordered(q, order, gone) for order in itertools.permutations(chosen))


def unordered_set(latent: Latent, f: Table, k: int) -> tuple[Estimate, Tensor]:
    """At every set of k configurations, with its probability from the k! orders."""
    z = latent.support()
    q = latent.log_prob(z).exp().tolist()
    subsets = list(itertools.combinations(range(len(q)), k))
    estimate = UnorderedSet(latent.spec, k=k).gradient(f, rows(latent, len(subsets)), z[torch.tensor(subsets).T])
    return estimate, torch.tensor([unordered(q, subset) for subset in subsets], dtype=torch.float64)


def without(subset: tuple[int, ...], *gone: int) -> tuple[int, ...]:
    return tuple(i for i in subset if i not in gone)


CASES: dict[str, Callable[[Latent, Table], tuple[Estimate, Tensor]]] = {
    "local-expectation": local_expectation,
    "measure-valued": measure_valued,
    **{f"sum-and-sample-{k}": lambda latent, f, k=k: sum_and_sample(latent, f, k) for k in (2, 3, 5, 8)},
    **{f"unordered-set-{k}": lambda latent, f, k=k: unordered_set(latent, f, k) for k in (2, 3, 4)},
}


@both
@pytest.mark.parametrize("case", CASES)
def test_expectations_are_exact(case: str, kind: str) -> None:
    latent = LATENTS[kind]
    f = Table(latent)
    estimate, probability = CASES[case](latent, f)
    for found, wanted in zip(expected(estimate, probability, f), exact(latent, f), strict=True):
        close(found, wanted)


@both
def test_local_expectation_never_has_more_variance_than_reinforce(kind: str) -> None:
    latent = LATENTS[kind]
    f = Table(latent)
    assert (variance(*local_expectation(latent, f)) < variance(*reinforce(latent, f))).all()


@both
def test_local_expectation_is_its_formula(kind: str) -> None:
    """π_dc (f(z_{-d}, c) - Σ_c' π_dc' f(z_{-d}, c')), site by site and class by class."""
    latent = LATENTS[kind]
    f, pi = Table(latent), sites.log_probs(latent).exp()
    (z,) = latent.sample(1, seeded())
    wanted = torch.zeros_like(pi)
    for d in range(len(pi)):
        local = sites.classes(latent, z).expand(pi.shape[-1], -1).clone()
        local[:, d] = torch.arange(pi.shape[-1])
        f_local = f(sites.configurations(latent, local)).detach()
        wanted[d] = pi[d] * (f_local - (pi[d] * f_local).sum())
    grad = LocalExpectation(latent.spec).gradient(f, latent, z.unsqueeze(0)).grad
    assert grad is not None
    close(grad, sites.at_params(latent, wanted))


def test_local_expectation_is_exact_on_one_site() -> None:
    latent = Categorical(torch.tensor([[0.3, -1.0, 0.7, 2.0]], dtype=torch.float64))
    f = Table(latent)
    estimate = LocalExpectation(latent.spec).estimate(f, latent, seeded())
    wanted = Exact(latent.spec).estimate(f, latent)
    assert estimate.grad is not None and wanted.grad is not None
    close(estimate.grad, wanted.grad)
    close(estimate.value, wanted.value)


def test_measure_valued_on_bits_is_local_expectation() -> None:
    latent = LATENTS["bits"]
    f = Table(latent)
    ours, theirs = measure_valued(latent, f)[0], local_expectation(latent, f)[0]
    assert ours.grad is not None and theirs.grad is not None
    close(ours.grad, theirs.grad)
    close(ours.value, theirs.value)


def test_measure_valued_is_local_expectation_with_noise_added() -> None:
    latent = LATENTS["classes"]
    f = Table(latent)
    assert (variance(*measure_valued(latent, f)) > variance(*local_expectation(latent, f))).all()


@pytest.mark.parametrize(("count", "classes"), [(1, 5), (2, 2), (3, 4), (5, 3), (7, 2)])
@pytest.mark.parametrize("m", [1, 3, 20])
def test_most_probable_configurations(count: int, classes: int, m: int) -> None:
    latent = Categorical(torch.randn(3, count, classes, generator=seeded(m), dtype=torch.float64))
    m = min(m, classes**count)
    found = latent.log_prob(sites.configurations(latent, most_probable(sites.log_probs(latent), m)))
    close(found, latent.log_prob(latent.support()).topk(m, 0).values)


@both
@pytest.mark.parametrize("m", [1, 2, 5])
def test_subtrees_cover_everything_else_once(kind: str, m: int) -> None:
    latent = LATENTS[kind]
    log_pi, every = sites.log_probs(latent), sites.classes(latent, latent.support())
    taken = every[torch.randperm(len(every), generator=seeded())[:m]]
    log_q = subtrees(log_pi, taken)
    covered = torch.zeros(len(every))
    for t, d, c in itertools.product(range(m), *map(range, log_pi.shape)):
        inside = (every[:, :d] == taken[t, :d]).all(-1) & (every[:, d] == c)
        if log_q[t, d, c] > -math.inf:
            covered += inside
            close(log_q[t, d, c].exp(), latent.log_prob(latent.support())[inside].exp().sum())
    among_taken = (every.unsqueeze(1) == taken).all(-1).any(-1)
    assert torch.equal(covered, (~among_taken).float())


def test_the_mass_of_the_rest_keeps_its_precision() -> None:
    """1 - q(T) is 4 e^-40 here: in float32 the subtraction would leave nothing."""
    latent = Bernoulli(torch.tensor([40.0, -40.0, 40.0, 40.0]))
    log_pi = sites.log_probs(latent)
    rest = log_rest(log_pi, most_probable(log_pi, 1))
    torch.testing.assert_close(rest, torch.tensor(math.log(4) - 40))
    assert log_rest(log_pi, sites.classes(latent, latent.support())) == -math.inf


def g_test(counts: Tensor, probability: Tensor) -> float:
    """p of "these counts follow these probabilities"."""
    return float(stats.power_divergence(counts, probability * counts.sum(), lambda_="log-likelihood").pvalue)


@both
def test_draws_from_the_rest_follow_q(kind: str) -> None:
    latent, count = LATENTS[kind], 20_000
    f, z = Table(latent), latent.support()
    taken = most_probable(sites.log_probs(latent), 3)
    batch = rows(latent, count)
    drawn = draw_rest(batch, taken.unsqueeze(1).expand(-1, count, -1), seeded())
    counts = torch.bincount(f.number(sites.configurations(batch, drawn))[0], minlength=len(z))
    others = torch.ones(len(z), dtype=torch.bool)
    others[f.number(sites.configurations(latent, taken))] = False
    assert not counts[~others].any()
    q = latent.log_prob(z).exp()[others]
    assert g_test(counts[others], q / q.sum()) > FALSE_ALARM


@both
def test_sum_and_sample_loses_variance_with_every_configuration_summed(kind: str) -> None:
    latent = LATENTS[kind]
    f = Table(latent)
    falling = [variance(*reinforce(latent, f))]
    falling += [variance(*sum_and_sample(latent, f, k)) for k in range(2, latent.spec.configurations + 1)]
    for more, less in itertools.pairwise(falling):
        assert (less <= more + 1e-14).all()
    close(falling[-1], torch.zeros_like(falling[-1]))


@both
@pytest.mark.parametrize("k", [2, 3, 4])
def test_unordered_set_is_its_formula(kind: str, k: int) -> None:
    """With both ratios from explicit orders."""
    latent = LATENTS[kind]
    f, z = Table(latent), latent.support()
    q, f_z, score = latent.log_prob(z).exp().tolist(), f.values.tolist(), latent.score(z)
    estimate, _ = unordered_set(latent, f, k)
    assert estimate.grad is not None
    for row, subset in enumerate(itertools.combinations(range(len(q)), k)):
        value, grad = 0.0, torch.zeros_like(score[0])
        for s in subset:
            alone = unordered(q, without(subset, s), (s,))
            baseline = q[s] * f_z[s]
            for other in without(subset, s):
                baseline += q[other] * unordered(q, without(subset, s, other), (s, other)) / alone * f_z[other]
            weight = q[s] * alone / unordered(q, subset)
            value, grad = value + weight * f_z[s], grad + weight * (f_z[s] - baseline) * score[s]
        close(estimate.value[row], torch.tensor(value, dtype=torch.float64))
        close(estimate.grad[row], grad)


@both
@pytest.mark.parametrize("k", [2, 3])
def test_sets_are_drawn_without_replacement(kind: str, k: int) -> None:
    latent, count = LATENTS[kind], 20_000
    f = Table(latent)
    q = latent.log_prob(latent.support()).exp().tolist()
    numbers = f.number(UnorderedSet(latent.spec, k=k).sample(rows(latent, count), seeded())).sort(0).values
    place = {subset: i for i, subset in enumerate(itertools.combinations(range(len(q)), k))}
    drawn = torch.tensor([place[tuple(subset)] for subset in numbers.T.tolist()])
    probability = torch.tensor([unordered(q, subset) for subset in place], dtype=torch.float64)
    assert g_test(torch.bincount(drawn, minlength=len(place)), probability) > FALSE_ALARM


@both
def test_the_value_of_larger_sets_varies_less(kind: str) -> None:
    """E[f(first draw) given the set]: Rao-Blackwell, and again from k to k + 1."""
    latent = LATENTS[kind]
    f = Table(latent)
    falling = []
    for k in range(1, 5):
        estimate, probability = reinforce(latent, f) if k == 1 else unordered_set(latent, f, k)
        value = estimate.value.detach()
        falling.append((probability * value.square()).sum() - (probability * value).sum().square())
    assert falling == sorted(falling, reverse=True)


@both
def test_a_constant_in_f_leaves_no_trace_in_a_set(kind: str) -> None:
    latent = rows(LATENTS[kind], 50)
    estimate = UnorderedSet(latent.spec, k=3).estimate(lambda z: torch.full(z.shape[:2], 7.0), latent, seeded())
    assert estimate.grad is not None
    close(estimate.grad, torch.zeros_like(estimate.grad))
    close(estimate.value, torch.full_like(estimate.value, 7.0))


@pytest.mark.parametrize("cls", [SumAndSample, UnorderedSet])
@pytest.mark.parametrize("k", [4, 7])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_all_configurations_give_the_exact_gradient(
    cls: type[SumAndSample | UnorderedSet], k: int, scale: float
) -> None:
    latent = Bernoulli(scale * torch.tensor([0.7, -1.0], dtype=torch.float64))
    f = Table(latent)
    estimate, wanted = cls(latent.spec, k=k).estimate(f, latent, seeded()), Exact(latent.spec).estimate(f, latent)
    assert estimate.grad is not None and wanted.grad is not None
    close(estimate.grad, wanted.grad)
    close(estimate.value, wanted.value)


@pytest.mark.parametrize("n", [2, 5])
def test_stratified_bits_hold_as_many_ones_as_they_should(n: int) -> None:
    latent = rows(LATENTS["bits"], 1000)
    ones = Stratified(latent.spec, n=n).sample(latent, seeded()).sum(0)
    assert ((ones == (n * latent.probs).floor()) | (ones == (n * latent.probs).ceil())).all()


@both
def test_each_stratified_draw_follows_q(kind: str) -> None:
    latent = LATENTS[kind]
    f, q = Table(latent), latent.log_prob(latent.support()).exp()
    draws = f.number(Stratified(latent.spec, n=3).sample(rows(latent, 20_000), seeded()))
    for draw in draws:
        assert g_test(torch.bincount(draw, minlength=len(q)), q) > FALSE_ALARM


def test_variance_of_stratified_draws_on_one_site() -> None:
    """The mean of the variances within strata over n, against the draws; less than that of independent ones."""
    latent, n, count = Categorical(torch.tensor([[0.3, -1.0, 0.7, 0.1]], dtype=torch.float64)), 3, 100_000
    f, z, pi = Table(latent), latent.support(), latent.probs[0]
    edges = torch.cat([pi.new_zeros(1), pi.cumsum(0)])
    strata = torch.arange(n + 1, dtype=torch.float64) / n
    overlap = torch.minimum(edges[1:], strata[1:, None]) - torch.maximum(edges[:-1], strata[:-1, None])
    within = n * overlap.clamp_min(0)
    terms = (f.values.detach().unsqueeze(-1) * latent.score(z)[:, 0]).T
    exact_variance = torch.stack([p @ (terms.T - terms @ p).square() for p in within]).mean(0) / n
    assert (exact_variance < pi @ (terms.T - terms @ pi).square() / n).all()

    grad = Stratified(latent.spec, n=n).estimate(f, rows(latent, count), seeded()).grad
    assert grad is not None
    squares = (grad[:, 0] - (terms @ pi)).square()
    deviation = (squares.mean(0) - exact_variance).abs() / (squares.std(0) / count**0.5)
    assert (deviation < stats.norm.isf(FALSE_ALARM / 2 / len(pi))).all()


def test_a_leave_one_out_baseline_is_biased_on_stratified_draws() -> None:
    """One fair bit, n = 2: the draws are 0 and 1, always, and the gradient would be twice the exact one."""
    latent = Bernoulli(torch.zeros(1, dtype=torch.float64))
    f = Table(latent)
    draw = Stratified(latent.spec, n=2).sample(latent, seeded())
    grad, wanted = Rloo(latent.spec, n=2).gradient(f, latent, draw).grad, Exact(latent.spec).estimate(f, latent).grad
    assert grad is not None and wanted is not None
    close(grad, 2 * wanted)


def test_sparsemax_is_the_projection_on_the_simplex() -> None:
    """Its optimality conditions: on the support φ - s is a constant τ, and elsewhere φ does not exceed it."""
    logits = 2 * torch.randn(500, 6, generator=seeded(), dtype=torch.float64)
    s = sparsemax(logits)
    close(s.sum(-1), torch.ones(500, dtype=torch.float64))
    assert (s >= 0).all() and (s == 0).any() and ((s > 0).sum(-1) > 1).any()
    tau = torch.where(s > 0, logits - s, -math.inf).amax(-1, keepdim=True)
    close(torch.where(s > 0, logits - s, tau), tau.expand_as(s))
    assert (torch.where(s > 0, tau, logits) <= tau).all()


def test_jacobian_of_sparsemax() -> None:
    logits = torch.tensor([0.3, -1.0, 0.7, 0.1, -0.6], dtype=torch.float64)
    support = (sparsemax(logits) > 0).double()
    assert support.sum() == 3
    jacobian = torch.autograd.functional.jacobian(sparsemax, logits)
    close(jacobian, support.diag() - torch.outer(support, support) / support.sum())


@both
def test_sparsemax_gradient_is_exact_for_its_own_distribution(kind: str) -> None:
    latent = LATENTS[kind]
    f, leaf = Table(latent), latent.params.clone().requires_grad_()
    (found,) = torch.autograd.grad(Sparsemax(latent.spec, block=5).estimate(f, type(latent)(leaf)).value, leaf)

    bits = kind == "bits"
    s = torch.stack([0.5 - leaf / 2, 0.5 + leaf / 2], -1).clamp(0, 1) if bits else sparsemax(leaf)
    law = torch.ones(1, dtype=torch.float64)
    for site in s:
        law = torch.outer(site, law).flatten()
    (wanted,) = torch.autograd.grad(law @ f.values, leaf)
    close(found, wanted)
    assert (found == 0).any() and (found != 0).any()
