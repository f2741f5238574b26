"""The source `enumeration`: exact moments of a gradient draw, held against published numbers and against draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.bench import protocols
from dvae_bench.bench.collectors.scaled import Scaled
from dvae_bench.bench.protocols.agreement import last_digit
from dvae_bench.bench.protocols.protocol import Method
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.replicates import draw_replicates
from dvae_bench.bench.sources.enumeration.enumerated import Enumerated, enumerate_draws
from dvae_bench.bench.sources.settings import EnumerationSettings
from dvae_bench.estimators.names import Name, Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.contract import Toy
from dvae_bench.tasks.toys.category_quadratic import CategoryQuadratic
from dvae_bench.tasks.toys.polynomial import Polynomial
from dvae_bench.tasks.toys.two_layer import TwoLayer
from scipy import stats

FEW = EnumerationSettings(draws=2, blocks=2)
PROTOCOL = protocols.load("hooper-bias-variance")
EXACT = [method for method in PROTOCOL.methods if "gumbel" not in method.estimator]


def moments(estimator: str, toy: Toy, settings: EnumerationSettings = FEW) -> Enumerated:
    return enumerate_draws(layers(estimator, toy), toy, settings, seed=0)


def layers(estimator: str, toy: Toy) -> Layers:
    name = Name.parse(estimator)
    return Layers(ESTIMATORS.find(name.family).load(), name.values, toy, torch.device("cpu"))


def is_published(estimator: str, theirs: tuple[float, float]) -> bool:
    """Whether both numbers are theirs to the last digit, up to rounding."""
    rows = Scaled().rows(moments(estimator, CategoryQuadratic(k=8, instance=1)))
    within = [
        row["lo"] - last_digit(number) / 2 <= number <= row["hi"] + last_digit(number) / 2
        for row, number in zip(rows, theirs, strict=True)
    ]
    return all(within)


@pytest.mark.parametrize("method", EXACT, ids=lambda method: method.method)
def test_the_published_digits(method: Method) -> None:
    theirs = method.value("K=8 seed 1, squared bias"), method.value("K=8 seed 1, variance")
    assert is_published(method.estimator, theirs)
    assert not is_published("reinmax:tau=1.21", theirs)


def test_the_mean_is_that_of_draws() -> None:
    """Gumbel-Rao with k = 1 given z, averaged over z, is the straight-through Gumbel-softmax. False alarm 1e-4."""
    toy = CategoryQuadratic(k=3, instance=5)
    own = moments("gumbel-rao:k=1", toy, EnumerationSettings(draws=500, blocks=40))
    generator = torch.Generator().manual_seed(1)
    drawn = draw_replicates(layers("st-gumbel-softmax", toy), toy, 40_000, generator, generator)["cut"].double().numpy()
    blocks = drawn.reshape(40, 1000, 3).mean(1)
    gap = (own.mean.mean(0) - drawn.mean(0))[:2]  # the entries of a gradient of logits sum to 0
    spread = np.cov(own.mean[:, :2].T) / 40 + np.cov(blocks[:, :2].T) / 40
    assert stats.chi2.sf(gap @ np.linalg.solve(spread, gap), 2) > 1e-4
    square = np.square(drawn).sum(1)
    error = np.hypot(own.square.std(ddof=1) / np.sqrt(40), square.std(ddof=1) / np.sqrt(len(square)))
    assert abs(own.square.mean() - square.mean()) < stats.norm.isf(5e-5) * error
    assert abs(1.1 * own.square.mean() - square.mean()) > stats.norm.isf(5e-5) * error


def test_an_unbiased_estimator_has_the_exact_mean() -> None:
    toy = CategoryQuadratic(k=5, instance=2)
    found = moments("reinforce", toy)
    assert np.allclose(found.mean, found.exact, rtol=0, atol=1e-6 * np.sqrt(found.square.max()))


def test_all_pairs_of_draws_are_enumerated() -> None:
    """The moments of `rloo` with two draws are those of ½ (f - f')(s - s') over independent z."""
    toy = CategoryQuadratic(k=4, instance=1).in_float64()
    found, latent = moments("rloo", toy), toy.latent(toy.params().detach())
    z = latent.support()
    q, f, score = latent.log_prob(z).exp(), toy.objective(latent)(z).detach(), latent.score(z).flatten(1)
    g = (f[:, None] - f)[..., None] * (score[:, None] - score) / 2
    pairs = q[:, None] * q
    assert np.allclose(found.mean, (pairs[..., None] * g).sum((0, 1)), rtol=1e-12)
    assert np.allclose(found.square, (pairs * g.square().sum(-1)).sum(), rtol=1e-12)
    assert found.configurations == 16 and np.allclose(found.mean, found.exact, rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "toy", "words"),
    [
        ("rloo:n=6", CategoryQuadratic(), "draws several z at once, which have more than 65536 combinations"),
        ("st-gumbel-softmax", CategoryQuadratic(), "draws noise instead of z"),
        ("exact", CategoryQuadratic(), "does not draw one z"),
        ("reinforce", TwoLayer(), "more than one layer"),
        ("reinforce", Polynomial(), "configurations of z"),
    ],
)
def test_what_cannot_be_enumerated_is_unsupported(estimator: str, toy: Toy, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        moments(estimator, toy)
