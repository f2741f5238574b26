"""Encodings and their codebook: distribution and score of the code, averages of the codebook, one-sentence refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from dvae_bench.bench.advice.measure import measure
from dvae_bench.estimators.latents import (
    Categorical,
    Codebook,
    Encodings,
    LatentSpec,
    LinearCodebook,
    expectation,
    latent_at,
)
from dvae_bench.estimators.latents.codebook import argmin, nearest
from dvae_bench.estimators.names import UsageError
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

SITES, WIDTH, CODES = 2, 3, 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def encodings(*batch: int, temperature: float = 0.7, linear: bool = False) -> Encodings:
    book = (LinearCodebook if linear else Codebook)(normal(CODES, WIDTH, seed=1))
    return Encodings(normal(*batch, SITES, WIDTH, seed=2).requires_grad_(), book, temperature)


@pytest.mark.parametrize("temperature", (0.1, 0.7, 5.0))
def test_the_distribution_is_the_softmax_of_minus_the_squared_distance_over_the_temperature(temperature: float) -> None:
    latent = encodings(5, temperature=temperature)
    distance = (latent.params.unsqueeze(-2) - latent.vectors).square().sum(-1)
    assert_close(latent.distribution.probs, (-distance / temperature).softmax(-1))
    assert torch.equal(latent.nearest(), distance.argmin(-1))


def test_log_prob_sums_to_one_and_score_is_its_derivative() -> None:
    latent = encodings(5)
    z = latent.support()
    assert z.shape == (CODES**SITES, 5, SITES, WIDTH)
    log_q = latent.log_prob(z)
    assert_close(log_q.exp().sum(0), torch.ones(5, dtype=torch.float64))
    for row, score in zip(log_q, latent.score(z), strict=True):
        assert_close(torch.autograd.grad(row.sum(), latent.params, retain_graph=True)[0], score)


def test_draws_follow_the_distribution() -> None:
    latent, n = encodings(), 20_000
    z = latent.sample(n, seeded())
    assert not z.requires_grad and z.shape == (n, SITES, WIDTH)
    codes = nearest(z, latent.vectors)
    assert torch.equal(latent.look_up(codes), z.to(latent.vectors))
    seen = torch.bincount(codes[:, 0] * CODES + codes[:, 1], minlength=CODES**SITES)
    first, second = latent.distribution.probs.detach()
    assert stats.chisquare(seen, n * torch.outer(first, second).flatten()).pvalue > 1e-6


@pytest.mark.parametrize("linear", (False, True))
def test_expectation_reaches_encodings_and_codebook(linear: bool) -> None:
    latent = encodings(5, linear=linear)
    distribution, weight = latent.distribution.probs, normal(WIDTH, seed=3)
    direct = sum(
        distribution[:, 0, i] * distribution[:, 1, j] * ((latent.vectors[i] - 2 * latent.vectors[j]) @ weight).sin()
        for i in range(CODES)
        for j in range(CODES)
    )
    enumerated = expectation(lambda z: ((z[..., 0, :] - 2 * z[..., 1, :]) @ weight).sin(), latent)
    gradients = [torch.autograd.grad(a.sum(), latent.tensors, retain_graph=True) for a in (direct, enumerated)]
    for one, other in zip(*gradients, strict=True):
        assert one.abs().sum() > 0
        assert_close(one, other)


def test_kl_goes_from_the_uniform_distribution_to_the_documents_constant() -> None:
    far, near = encodings(5, temperature=1e9), encodings(5, temperature=1e-9)
    assert_close(far.kl_to_prior(), torch.zeros(5, dtype=torch.float64))
    assert_close(near.kl_to_prior(), torch.full((5,), SITES * math.log(CODES), dtype=torch.float64))
    assert_close(near.prior_log_prob(near.sample(1, seeded())), -near.kl_to_prior().detach().unsqueeze(0))


def test_at_keeps_codebook_and_temperature() -> None:
    latent = encodings(5)
    other = latent.at(latent.params[:2])
    assert other.codebook is latent.codebook and other.temperature == latent.temperature
    assert other.spec == latent.spec == LatentSpec.encodings(SITES, WIDTH, CODES)


@pytest.mark.parametrize("family", ("", "linear-codebook"))
def test_latent_at_has_the_codebook_of_its_spec(family: str) -> None:
    spec = LatentSpec.encodings(SITES, WIDTH, CODES, family)
    first, second = (latent_at(spec, torch.zeros(7, SITES, WIDTH, dtype=torch.float64)) for _ in range(2))
    assert first.spec == spec and torch.equal(first.support(), second.support())


def averages(
    counts: list[float], sums: list[Tensor], points: Tensor, codes: Tensor, decay: float, eps: float
) -> Tensor:
    """The document's averages, code by code, and the codes that they give."""
    for k in range(CODES):
        mine = points[codes == k]
        counts[k] = decay * counts[k] + (1 - decay) * len(mine)
        sums[k] = decay * sums[k] + (1 - decay) * mine.sum(0)
    total = sum(counts)
    return torch.stack([sums[k] / ((counts[k] + eps) / (total + CODES * eps) * total) for k in range(CODES)])


@pytest.mark.parametrize(("decay", "eps", "equal"), [(0.9, 1e-3, True), (0.8, 1e-3, False), (0.9, 1e-1, False)])
def test_the_codebook_moves_to_the_smoothed_averages(decay: float, eps: float, equal: bool) -> None:
    """Three steps; a wrong decay or smoothing is seen."""
    book = Codebook(normal(CODES, WIDTH, seed=1))
    counts, sums = [1.0] * CODES, list(book.vectors.detach().clone())
    for step in range(3):
        points = normal(11, WIDTH, seed=10 + step)
        codes = nearest(points, book.vectors)
        expected = averages(counts, sums, points, codes, 0.9, 1e-3)
        book.move(points, codes, decay, eps)
        if not equal:
            break
        assert_close(book.vectors.detach(), expected)
    assert torch.allclose(book.vectors.detach(), expected) is equal


def test_a_busy_code_moves_to_the_mean_of_its_encodings() -> None:
    """49,000 encodings at a step on one code, the last of 400 steps: in float32, .01 each no longer changes a sum."""
    book, n = Codebook(torch.zeros(1, 2)), 49000
    points = torch.tensor([1.0, 2.0]) + 0.3 * torch.randn(n, 2, generator=seeded())
    sums = points.double().sum(0)
    book.counts.fill_(n * (1 - 0.99**399))
    book.sums.copy_(sums * (1 - 0.99**399))
    book.move(points, torch.zeros(n, dtype=torch.long), 0.99, 1e-5)
    assert_close(book.counts, torch.tensor([n * (1 - 0.99**400)]))
    assert_close(book.vectors.detach(), (sums / n).float().unsqueeze(0))


def test_a_busy_cluster_of_k_means_has_the_mean_of_its_points() -> None:
    points = torch.tensor([1.01, 2.02]).expand(2**20, 2)
    book = Codebook(torch.zeros(1, 2))
    book.start_at(points, 1, seeded())
    assert_close(book.vectors.detach(), points[:1])


@pytest.mark.parametrize("bad", (math.inf, -math.inf, math.nan))
def test_encodings_that_are_not_finite_move_no_code(bad: float) -> None:
    """Neither the averages, nor the replacement of dead codes, nor the start by k-means."""
    points = normal(50, WIDTH, seed=4)
    spoiled = torch.cat([points, torch.full((1, WIDTH), bad, dtype=torch.float64)])
    books = [Codebook(normal(CODES, WIDTH, seed=1)) for _ in range(2)]
    for book, each in zip(books, (points, spoiled), strict=True):
        book.move(each, nearest(each, book.vectors), 0.9, 1e-3)
    assert torch.equal(books[0].vectors, books[1].vectors)
    books[1].revive(spoiled[-CODES:], below=10.0)
    assert torch.equal(books[1].vectors[:-1], points[1 - CODES :]) and books[1].vectors.isfinite().all()
    books[1].start_at(spoiled, 5, seeded())
    assert books[1].vectors.isfinite().all()
    with pytest.raises(UsageError, match="4 codes needs as many finite encodings, got 3"):
        books[1].start_at(spoiled[-CODES:], 1, seeded())


def test_an_unused_code_stays_where_it_is_and_finite() -> None:
    book = Codebook(torch.tensor([[0.0], [9.0]]))
    for _ in range(2000):
        book.move(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long), 0.9, 1e-5)
    assert book.vectors.isfinite().all() and book.vectors[0] == 0


def test_k_means_goes_down_to_the_means_of_its_clusters() -> None:
    points = normal(200, WIDTH, seed=4)

    def distortion(iterations: int) -> float:
        book.start_at(points, iterations, seeded(1))
        return float((points - book.vectors.detach()[nearest(points, book.vectors)]).square().sum())

    book = Codebook(normal(CODES, WIDTH, seed=1))
    found = [distortion(iterations) for iterations in (0, 1, 2, 4, 8, 100)]
    assert found == sorted(found, reverse=True) and found[-1] < found[0]
    codes = nearest(points, book.vectors)
    for k, centre in enumerate(book.vectors.detach()):
        assert_close(centre, points[codes == k].mean(0))
    assert torch.equal(book.sums, book.vectors)
    with pytest.raises(UsageError, match="needs as many finite encodings"):
        book.start_at(points[: CODES - 1], 1, seeded())


def test_dead_codes_alone_are_replaced() -> None:
    book, spare = Codebook(normal(CODES, WIDTH, seed=1)), normal(CODES, WIDTH, seed=2)
    before = book.vectors.detach().clone()
    book.counts.copy_(torch.tensor([1.0, 0.1, 2.0, 0.4]))
    book.revive(spare, below=0.5)
    assert torch.equal(book.vectors[[1, 3]], spare[[1, 3]]) and torch.equal(book.vectors[[0, 2]], before[[0, 2]])
    assert book.counts.tolist() == [1.0, 1.0, 2.0, 1.0]


def test_a_linear_codebook_learns_its_map_alone() -> None:
    latent = encodings(5, linear=True)
    assert [name for name, _ in latent.codebook.named_parameters()] == ["map"]
    latent.mix(latent.distribution.probs).sum().backward()
    assert latent.codebook.map.grad.abs().sum() > 0


BAD: list[tuple[Any, str]] = [
    (lambda: Codebook(torch.zeros(0, 3)), "at least one code"),
    (lambda: Codebook.random(0, 3, torch.zeros(())), "codes >= 1"),
    (lambda: LinearCodebook(torch.zeros(3)), "at least one code"),
    (lambda: Encodings(torch.zeros(5, 2, 4), Codebook(torch.zeros(3, 2))), r"give \[\*batch, sites, 2\]"),
    (lambda: Encodings(torch.zeros(2), Codebook(torch.zeros(3, 2))), r"give \[\*batch, sites, 2\]"),
    (lambda: Encodings(torch.zeros(2, 2), Codebook(torch.zeros(3, 2)), temperature=0.0), "must be above 0"),
    (lambda: Encodings(torch.full((2, 2), math.nan), Codebook(torch.zeros(3, 2))).validate(), "NaN or infinity"),
    (lambda: Encodings(torch.zeros(2, 2), Codebook(torch.full((3, 2), math.inf))).validate(), "NaN or infinity"),
    (
        lambda: measure(lambda z: z.sum((-2, -1)), Encodings(torch.full((2, 2), math.nan), Codebook(torch.ones(3, 2)))),
        "NaN or infinity",
    ),
    (lambda: measure(lambda z: z.sum((-2, -1)), Categorical(torch.full((2, 2), math.nan))), "NaN or infinity"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_input_is_one_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        make()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("codes", (1, 64, 100, 128, 512))
def test_the_nearest_code_in_blocks_is_the_first_of_the_nearest(codes: int) -> None:
    """Small whole numbers: many ties."""
    values = torch.randint(5, (300, codes), generator=seeded()).float()
    assert torch.equal(argmin(values), values.argmin(-1))
    points = normal(300, WIDTH, seed=5)
    vectors = normal(codes, WIDTH, seed=6)
    assert torch.equal(nearest(points, vectors), torch.cdist(points, vectors).argmin(-1))


@pytest.mark.parametrize("half", (False, True))
def test_the_nearest_code_far_from_the_origin(half: bool) -> None:
    """Codes at mean 20 and spread .05, with float64 as the judge; under autocast too, which would round to bfloat16."""
    codes = 20 + 0.05 * normal(64, 8, seed=1).float()
    points = 20 + 0.05 * normal(2000, 8, seed=2).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = nearest(points, codes)
    assert torch.equal(found, torch.cdist(points.double(), codes.double()).argmin(-1))


def test_the_distribution_far_from_the_origin() -> None:
    """Probabilities in float32, at codes of mean 20 and spread .05, against those in float64 of the same numbers."""
    codes, points = ((20 + 0.05 * normal(size, 8, seed=size)).float() for size in (64, 2000))
    found, exact = (
        Encodings(points.to(dtype).unsqueeze(1), Codebook(codes.to(dtype)), temperature=0.005).distribution.probs
        for dtype in (torch.float32, torch.float64)
    )
    assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


def test_the_nearest_code_of_encodings_in_bfloat16() -> None:
    codes, points = normal(512, 8, seed=1).float(), normal(2000, 8, seed=2).bfloat16()
    assert torch.equal(nearest(points, codes), torch.cdist(points.double(), codes.double()).argmin(-1))
