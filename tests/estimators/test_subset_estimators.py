"""Estimators on subsets: what they are exactly, by enumerating the masks, and where they end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dvae_bench import Subset, advise, measure
from dvae_bench.estimators import estimator
from dvae_bench.estimators.contract import Estimator
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, Objective, expectation
from dvae_bench.estimators.names import Unsupported, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.estimators.relaxations.aimle import Aimle
from dvae_bench.estimators.score_function.group_mean import GroupMean
from dvae_bench.estimators.score_function.rloo import Rloo
from torch import Tensor
from wrong_subsets import SfessWithFullMean

LOGITS = torch.tensor([0.3, -1.0, 0.8, 0.1, -0.4], dtype=torch.float64)
WEIGHT = torch.tensor([0.7, -0.2, 1.1, 0.4, -0.9], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quadratic(z: Tensor) -> Tensor:
    return (z @ WEIGHT - 1).square() + z[..., 0] * z[..., 3]


def linear(z: Tensor) -> Tensor:
    return z @ WEIGHT


def exact(f: Objective, k: int = 2) -> Tensor:
    leaf = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(expectation(f, Subset(leaf, k)), leaf)[0]


def at_draws(made: Estimator, f: Objective, draws: Tensor) -> Tensor:
    """The gradient of one row per draw, [rows, n]; draws [n, rows, *]."""
    leaf = LOGITS.expand(draws.shape[1], -1).clone().requires_grad_()
    latent = Subset(leaf, 2)
    return torch.autograd.grad(made.gradient(f, latent, draws).spliced(latent).sum(), leaf)[0]


def test_published_names_are_those_of_the_same_estimators() -> None:
    """SFESS is the leave-one-out score function on subsets, SIMPLE the straight-through estimator at the marginals."""
    found = {alias: ESTIMATORS.find(alias).name for alias in ("sfess", "simple", "gumbel-top-k", "gumbel-top-k-st")}
    assert found == {
        "sfess": "rloo",
        "simple": "straight-through",
        "gumbel-top-k": "gumbel-softmax",
        "gumbel-top-k-st": "st-gumbel-softmax",
    }


@pytest.mark.parametrize(("f", "unbiased"), [(linear, True), (quadratic, False)])
def test_the_mean_of_simple_is_the_covariance_times_the_mean_slope(f: Objective, unbiased: bool) -> None:
    latent = Subset(LOGITS, 2)
    z = latent.support()
    q, leaf = latent.log_prob(z).exp(), z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(leaf).sum(), leaf)
    covariance = torch.einsum("m,mi,mj->ij", q, z - latent.probs, z - latent.probs)
    mean = q @ at_draws(estimator("simple", latent.spec), f, z.unsqueeze(0))
    torch.testing.assert_close(mean, covariance @ (q @ slope))
    assert torch.allclose(mean, exact(f)) == unbiased


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_full_mean_in_sfess_is_a_fraction_of_the_gradient(n: int) -> None:
    """(n - 1) / n of it, in every draw: a half at n = 2, two thirds at n = 3."""
    spec = LatentSpec.subset(5, 2)
    z = Subset(LOGITS.expand(50, 5), 2).sample(n, seeded())
    right, wrong, ours = (at_draws(cls(spec, n=n), quadratic, z) for cls in (Rloo, SfessWithFullMean, GroupMean))
    torch.testing.assert_close(wrong, right * (n - 1) / n)
    torch.testing.assert_close(ours, wrong)
    assert right.abs().max() > 0.1


@pytest.mark.parametrize("name", ["exact", "unordered-set:k=8", "sum-and-sample:k=10"])
def test_all_masks_give_the_exact_gradient(name: str) -> None:
    """The 6 masks of 2 out of 4, or the 10 of 2 out of 5, none left out."""
    items = 4 if "unordered" in name else 5
    leaf = LOGITS[:items].clone().requires_grad_()
    latent, weight = Subset(leaf, 2), WEIGHT[:items]
    loss = estimator(name, latent.spec)(lambda z: (z @ weight - 1).square(), latent, seeded())
    expected = expectation(lambda z: (z @ weight - 1).square(), latent)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(x, leaf, retain_graph=True)[0] for x in (loss, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["exact", "unordered-set", "sum-and-sample"])
def test_masks_that_are_too_many_to_list_are_unsupported_with_the_reason(name: str) -> None:
    with pytest.raises(Unsupported, match="subset 20 of 40 has more than 65536"):
        estimator(name, LatentSpec.subset(40, 20))


class TestAimle:
    def test_the_mean_for_a_bit_is_a_central_difference(self) -> None:
        """(σ(φ + λ c) - σ(φ - λ c)) / 2λ for f = c b, the noise at N equal quantiles: off by at most 1 / (N λ)."""
        count, phi, slope = 10_000, 0.7, 1.3
        quantiles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        leaf = torch.full((count, 1), phi, dtype=torch.float64)
        estimate = Aimle(LatentSpec.bernoulli(1), beta=0.5).gradient(
            lambda z: slope * z.sum(-1), Bernoulli(leaf), torch.logit(quantiles).view(1, count, 1)
        )
        step = 0.5 * phi / slope
        ends = torch.tensor([phi + step * slope, phi - step * slope], dtype=torch.float64).sigmoid()
        assert estimate.grad is not None
        assert abs(estimate.grad.mean() - (ends[0] - ends[1]) / (2 * step)) <= 1 / (count * step)

    def test_its_step_does_not_depend_on_the_scale_of_f(self) -> None:
        noise = Subset(LOGITS.expand(50, 5), 2).noise(1, seeded())
        made = Aimle(LatentSpec.subset(5, 2))
        one, ten = (at_draws(made, lambda z, c=c: c * quadratic(z), noise) for c in (1.0, 10.0))
        torch.testing.assert_close(ten, 10 * one)
        assert (one != 0).any()

    def test_its_step_grows_while_gradients_are_rare_and_falls_while_they_are_not(self) -> None:
        latent, rate = Subset(LOGITS.expand(200, 5).clone().requires_grad_(), 2), 0.01
        for beta, sign in ((0.0, 1), (5.0, -1)):
            made = Aimle(latent.spec, beta=beta, rate=rate).train()
            for _ in range(10):
                made(quadratic, latent, seeded())
            torch.testing.assert_close(made.scale, torch.tensor(beta + sign * 10 * rate))
        made.eval()(quadratic, latent, seeded())
        torch.testing.assert_close(made.scale, torch.tensor(5 - 10 * rate))

    def test_a_flat_f_has_no_gradient(self) -> None:
        noise = Subset(LOGITS.expand(20, 5), 2).noise(1, seeded())
        assert not at_draws(Aimle(LatentSpec.subset(5, 2)), lambda z: (0 * z).sum(-1), noise).any()


def test_measure_and_advise_take_a_subset() -> None:
    latent = Subset(LOGITS.float(), 2)
    weight = WEIGHT.float()

    def f(z: Tensor) -> Tensor:
        return (z @ weight - 1).square()

    frame = measure(f, latent, ["rloo", "simple", "conditional-expectation"], draws=640).frame()
    assert set(frame["estimator"]) == {"rloo", "simple", "conditional-expectation"}
    found = advise(f, latent, calls=4, seconds=0.2, estimators=["rloo", "simple", "imle"])
    assert found.pick in found.frame()["estimator"].tolist()


@pytest.mark.parametrize(
    ("task", "values", "words"),
    [
        ("subset", {"n": 3, "k": 4}, "k must be at most n, got k=4 with n=3"),
        ("subset", {"n": 40, "k": 20}, "at most 4096 masks"),
        ("subset", {"k": 0}, "k must be a whole number >= 1"),
        ("subset-distance", {"n": 3, "k": 4}, "k must be at most n"),
    ],
)
def test_a_task_of_an_impossible_size_is_refused_in_one_sentence(task: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TASKS.find(task).load()(**values)


def test_the_closed_form_of_the_distance_is_the_enumerated_one() -> None:
    toy = TASKS.find("subset-distance").load()(n=7, k=3)
    found, once = toy.exact(), toy.in_float64()
    expected = once._averaged(None, expectation)
    assert found.keys() == expected.keys() == {"value", "cut", "decoder"}
    for group, tensor in found.items():
        torch.testing.assert_close(tensor, expected[group])
