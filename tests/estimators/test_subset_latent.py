"""Subsets against enumeration and against the recursion over items, at ordinary, large and infinite logits.

ALPHA is the chance of a false alarm of one test under fresh seeds; with the fixed seeds there is none.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from dvae_bench.estimators.latents import LatentSpec, Subset, expectation, latent_at
from dvae_bench.estimators.latents.polynomials import correlation, product
from dvae_bench.estimators.names import UsageError
from scipy import stats
from torch import Tensor

ALPHA = 1e-6
DRAWS = 20_000
INF = math.inf
SIZES = [(10, 5), (7, 1), (6, 6), (1, 1), (13, 9)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(n: int, k: int, *batch: int, scale: float = 1.0) -> Subset:
    return Subset((scale * torch.randn(*batch, n, generator=seeded(1), dtype=torch.float64)).requires_grad_(), k)


def masks(n: int, k: int) -> Tensor:
    """All masks, by itertools."""
    every = torch.zeros(math.comb(n, k), n, dtype=torch.float64)
    for row, chosen in zip(every, itertools.combinations(range(n), k), strict=True):
        row[list(chosen)] = 1
    return every


def recursion(logits: Tensor, k: int) -> Tensor:
    """log e_j of the first i weights exp(logits), [n + 1, k + 1], one item after the other: e_j ← e_j + w_i e_{j-1}."""
    rows = [torch.full((k + 1,), -INF, dtype=torch.float64)]
    rows[0][0] = 0
    for logit in logits:
        last = rows[-1]
        rows.append(torch.cat([last[:1], torch.logaddexp(last[1:], logit + last[:-1])]))
    return torch.stack(rows)


def recursive_marginals(logits: Tensor, k: int) -> Tensor:
    """Σ_j e_j(items before i) w_i e_{k-1-j}(items after i) / e_k, from the recursion in both directions."""
    before, after = recursion(logits, k), recursion(logits.flip(0), k).flip(0)
    others = (before[:-1, :k] + after[1:, :k].flip(-1)).logsumexp(-1)
    return (logits + others - before[-1, k]).exp()


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_the_distribution_is_that_of_all_masks(n: int, k: int, scale: float) -> None:
    latent, every = make(n, k, 2, 3, scale=scale), masks(n, k)
    energy = torch.einsum("mn,...n->m...", every, latent.logits)
    expected = energy.log_softmax(0)
    z = every.view(-1, 1, 1, n).expand(-1, 2, 3, n)
    torch.testing.assert_close(latent.log_prob(z), expected)
    torch.testing.assert_close(latent.probs, torch.einsum("m...,mn->...n", expected.exp(), every))
    entropy = -(expected.exp() * expected).sum(0)
    torch.testing.assert_close(latent.kl_to_prior(), math.log(len(every)) - entropy)
    torch.testing.assert_close(latent.probs.sum(-1), torch.full((2, 3), k, dtype=torch.float64))


def test_ten_choose_five_are_252_masks_each_enumerated_once() -> None:
    latent = make(10, 5, 2)
    z = latent.support()
    assert len(z) == latent.spec.configurations == 252
    assert {tuple(row) for row in z[:, 0].int().tolist()} == {tuple(row) for row in masks(10, 5).int().tolist()}
    assert torch.equal(torch.cat(list(latent.blocks(100))), z)
    assert torch.equal(latent.classes(z)[:, 1, 0], torch.arange(252))
    assert torch.equal(latent.from_classes(latent.classes(z)), z)
    torch.testing.assert_close(latent.log_class_probs[1, 0], latent.log_prob(z)[:, 1].detach())


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_gradients_are_those_of_finite_differences(n: int, k: int) -> None:
    latent = make(n, k)
    z = latent.sample(3, seeded())
    assert torch.autograd.gradcheck(lambda x: Subset(x, k).probs, latent.logits)
    assert torch.autograd.gradcheck(lambda x: Subset(x, k).log_prob(z), latent.logits)
    assert torch.autograd.gradgradcheck(lambda x: Subset(x, k).log_prob(z), latent.logits)
    for one in z:
        (gradient,) = torch.autograd.grad(latent.log_prob(one), latent.logits)
        torch.testing.assert_close(latent.score(one), gradient)
    assert not latent.score(z).requires_grad


def test_the_product_and_the_correlation_are_each_others_derivative() -> None:
    """Of any degrees, cut off or not; the reference is numpy's convolution."""
    a, b = (torch.randn(size, 2, generator=seeded(size), dtype=torch.float64).requires_grad_() for size in (4, 3))
    full = np.stack([np.convolve(*(x.detach()[:, i].numpy() for x in (a, b))) for i in range(2)], -1)
    for degree in range(7):
        expected = torch.zeros(degree + 1, 2, dtype=torch.float64)
        expected[:6] = torch.from_numpy(full[: degree + 1])
        torch.testing.assert_close(product(a, b, degree).detach(), expected)
        for operation in (product, correlation):
            assert torch.autograd.gradcheck(operation, (a, b, degree))
            assert torch.autograd.gradgradcheck(operation, (a, b, degree))


def test_torch_func_gives_the_same() -> None:
    latent = make(6, 3, 4)

    def total(x: Tensor) -> Tensor:
        return Subset(x, 3).probs.square().sum()

    (expected,) = torch.autograd.grad(total(latent.logits), latent.logits)
    params = latent.logits.detach()
    torch.testing.assert_close(torch.func.grad(total)(params), expected)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(params), expected)


def test_many_items_agree_with_the_recursion() -> None:
    """To the rounding of the recursion: n sums of logarithms as large as that of e_k, in both directions."""
    n, k = 1000, 100
    latent = make(n, k)
    logits = latent.logits.detach()
    expected, largest = recursive_marginals(logits, k), float(recursion(logits, k)[n, k])
    bound = 2 * n * torch.finfo(torch.float64).eps * largest
    torch.testing.assert_close(latent.probs.detach(), expected, rtol=bound, atol=0)


def test_items_that_are_certain_or_impossible() -> None:
    """They are the limit of large logits; autograd through the recursion by logaddexp has NaN marginals there."""
    logits = torch.tensor([0.3, -INF, INF, -1.0, 2.0, -INF], dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    assert torch.autograd.grad(recursion(leaf, 3)[-1, 3], leaf)[0].isnan().any()
    found, large = Subset(logits.requires_grad_(), 3), Subset(logits.detach().clamp(-600, 600).requires_grad_(), 3)
    for numbers in zip(*((x.probs, x.kl_to_prior(), x.probs.square().sum()) for x in (found, large)), strict=True):
        torch.testing.assert_close(*numbers)
    z = found.sample(200, seeded())
    assert (z[:, [1, 5]] == 0).all() and (z[:, 2] == 1).all() and (z.sum(-1) == 3).all()
    gradients = [torch.autograd.grad(x.probs.square().sum(), x.logits)[0] for x in (found, large)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].isfinite().all()
    assert found.log_prob(z).isfinite().all()


@pytest.mark.parametrize(
    ("logits", "k"),
    [
        (torch.zeros(5000), 20),
        (torch.zeros(5000), 4980),
        (torch.full((5000,), 1e30), 2500),
        (torch.linspace(-1e4, 1e4, 5000), 100),
        (torch.cat([torch.full((20,), 800.0), torch.full((4980,), -800.0)]), 30),
        (torch.full((10,), INF), 3),
        (torch.full((10,), -INF), 3),
    ],
    ids=["few", "most", "equal and huge", "far apart", "two levels", "all certain", "all impossible"],
)
def test_nothing_underflows(logits: Tensor, k: int) -> None:
    latent = Subset(logits, k)
    probs = latent.probs
    torch.testing.assert_close(probs.double().sum(-1), torch.tensor(float(k), dtype=torch.float64), rtol=1e-5, atol=0)
    if logits.min() == logits.max():
        torch.testing.assert_close(probs, torch.full_like(probs, k / len(probs)))
    assert (latent.sample(4, seeded()).sum(-1) == k).all()


def test_a_constant_in_all_logits_changes_nothing() -> None:
    latent = make(8, 3)
    shifted = latent.at(latent.logits + 7)
    z = latent.support()
    torch.testing.assert_close(shifted.probs, latent.probs)
    torch.testing.assert_close(shifted.log_prob(z), latent.log_prob(z))
    assert torch.equal(shifted.sample(50, seeded()), latent.sample(50, seeded()))


def test_draws_have_the_frequencies_of_their_probabilities() -> None:
    latent = make(6, 3)
    expected = DRAWS * latent.log_class_probs[0].exp()
    numbers = latent.classes(latent.sample(DRAWS, seeded(3))).flatten()
    assert stats.chisquare(numbers.bincount(minlength=20).numpy(), expected.numpy()).pvalue >= ALPHA


def test_draws_of_many_items_have_their_marginals() -> None:
    """Each of 1,000 frequencies against the binomial with its marginal, two-sided."""
    latent = make(1000, 100)
    z = latent.sample(500, seeded(4))
    assert torch.equal(z.sum(-1), torch.full((500,), 100.0, dtype=torch.float64))
    counts, p = z.sum(0).numpy(), latent.probs.detach().numpy()
    tails = np.minimum(stats.binom.cdf(counts, 500, p), stats.binom.sf(counts - 1, 500, p))
    assert 2 * len(counts) * tails.min() >= ALPHA


def test_conditional_marginals_are_those_of_the_masks_that_remain() -> None:
    latent, every = make(8, 3), masks(8, 3)
    q = latent.log_prob(every).exp().detach()
    for value in (0.0, 1.0):
        known = torch.eye(8, dtype=torch.bool)
        given = latent.given(torch.full((8,), value, dtype=torch.float64), known)
        kept = q.unsqueeze(-1) * (every == value)
        torch.testing.assert_close(given.probs.detach(), (kept.T @ every) / kept.sum(0).unsqueeze(-1))
        assert torch.equal(given.sample(1, seeded())[0].diagonal(), torch.full((8,), value, dtype=torch.float64))


def test_perturbed_logits_take_the_largest_and_relax_to_them() -> None:
    latent = make(8, 3, 5)
    perturbed = latent.perturb(latent.noise(100, seeded(5)))
    hard, soft = latent.harden(perturbed), latent.relax(perturbed, 0.5)
    assert (hard.sum(-1) == 3).all() and not hard.requires_grad
    gap = perturbed.masked_fill(hard < 1, INF).amin(-1) - perturbed.masked_fill(hard > 0, -INF).amax(-1)
    assert (gap > 0).all()
    torch.testing.assert_close(soft.sum(-1), torch.full((100, 5), 3.0, dtype=torch.float64))
    apart = -perturbed.topk(4, -1).values.diff(dim=-1).amax(-1) > 0.01
    torch.testing.assert_close(latent.relax(perturbed, 1e-4)[apart], hard[apart])
    assert apart.sum() > 400


def test_the_top_of_gumbels_is_another_distribution_unless_one_is_chosen() -> None:
    """Chi-square of hardened perturbed logits against q: passed at k = 1, rejected at k = 3."""
    p = {}
    for k in (1, 3):
        latent = make(6, k, scale=1.5)
        numbers = latent.classes(latent.harden(latent.perturb(latent.noise(DRAWS, seeded(6))))).flatten()
        expected = DRAWS * latent.log_class_probs[0].exp()
        p[k] = stats.chisquare(numbers.bincount(minlength=len(expected)).numpy(), expected.numpy()).pvalue
    assert p[1] >= ALPHA > p[3]


def test_it_shows_its_sizes_and_no_values() -> None:
    assert repr(Subset(torch.zeros(16, 10), 5)) == "Subset(batch=(16,), items=10, chosen=5)"
    spec = LatentSpec.subset(10, 5)
    assert str(spec) == "subset 5 of 10" and latent_at(spec, torch.zeros(10)).spec is spec


@pytest.mark.parametrize("k", [0, 6, -1, 2.5, True + 0.5])
def test_a_size_that_no_subset_has_is_refused_in_one_sentence(k: float) -> None:
    with pytest.raises(UsageError, match=rf"^a subset has .* all 5: give k in this range, not {k}$"):
        Subset(torch.zeros(2, 5), k)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (3, 1), (2, 6), ()])
def test_a_mask_of_the_wrong_shape_is_refused_in_one_sentence(shape: tuple[int, ...]) -> None:
    latent = Subset(torch.zeros(2, 5), 2)
    known = torch.zeros(5, dtype=torch.bool)
    conditions = [lambda z: latent.given(z, known), lambda z: latent.given(torch.zeros(5), z > 0)]
    for use in (latent.log_prob, latent.score, *conditions):
        with pytest.raises(UsageError, match=r"^a mask of subset 2 of 5 has shape \[\.\.\., 5\], not \["):
            use(torch.zeros(shape))


def test_logits_without_items_are_refused() -> None:
    with pytest.raises(UsageError, match="one entry per item"):
        Subset(torch.tensor(0.3), 1)


def test_the_expectation_is_enumerated() -> None:
    latent, weight = make(6, 3, 2), torch.randn(6, generator=seeded(7), dtype=torch.float64)
    torch.testing.assert_close(expectation(lambda z: z @ weight, latent), latent.probs @ weight)
