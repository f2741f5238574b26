"""Deliberately wrong estimators: the referee, which passes the right ones, catches all. More are in wrong_*.py.

Most of the faults here were seen in published code. Two that look like faults and are none stand at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from dvae_bench.estimators.contract import Estimate, Estimator, expand_right
from dvae_bench.estimators.control_variates.rebar import Perturbed, Rebar
from dvae_bench.estimators.coupled.disarm import Disarm
from dvae_bench.estimators.enumeration.exact import Exact
from dvae_bench.estimators.latents import Categorical, Latent, Objective
from dvae_bench.estimators.score_function.reinforce import Reinforce
from dvae_bench.estimators.score_function.reinforce_ema import ReinforceEma
from dvae_bench.estimators.score_function.rloo import Rloo
from torch import Generator, Tensor
from wrong_published import PUBLISHED
from wrong_subsets import SUBSETS

ALPHA = 1e-6


def rescaled(cls: type[Estimator], factor: float) -> type[Estimator]:
    """The estimator with `grad` times a factor."""

    class Rescaled(cls):  # type: ignore[misc,valid-type]
        def gradient(self, f: Objective, latent: Latent, draw: Any) -> Estimate:
            right = super().gradient(f, latent, draw)
            assert right.grad is not None
            return Estimate(right.value, factor * right.grad)

    return Rescaled


class RebarWithoutPath(Rebar):
    """z̃ moves with φ only as z does: dv'/dφ dropped."""

    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        right = super().sample(latent, generator)
        return right._replace(conditioned=right.leaf + (right.conditioned - right.leaf).detach())


class RebarConditionedOnAnotherDraw(Rebar):
    """z̃ given a draw of b that is not the one in the score."""

    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        right = super().sample(latent, generator)
        return right._replace(hard=latent.sample(1, generator))


class RebarWithIndependentRelaxation(Rebar):
    """z drawn apart from b: the noise is not shared."""

    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        right = super().sample(latent, generator)
        with torch.enable_grad():
            own = type(latent)(right.leaf)
            return right._replace(free=own.perturb(own.noise(1, generator)))


class RawPerturbation(Categorical):
    """φ + G in place of log π + G: shifted by log Σ exp φ."""

    def perturb(self, noise: Tensor) -> Tensor:
        return self.logits + noise


class RawCondition(Categorical):
    """exp φ in place of π in the distribution of the Gumbels given their argmax."""

    def condition(self, z: Tensor, n: int, generator: Generator | None) -> Tensor:
        log_e = -self.noise(n, generator)
        log_e_chosen = (log_e * z).sum(-1, keepdim=True)
        return torch.where(z > 0.5, -log_e_chosen, -torch.logaddexp(log_e - self.logits, log_e_chosen))


class RebarRawPerturbation(Rebar):
    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        return super().sample(RawPerturbation(latent.params), generator)


class RebarRawCondition(Rebar):
    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        return super().sample(RawCondition(latent.params), generator)


class DisarmWithoutSigmoid(Disarm):
    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, right.grad / latent.params.detach().abs().sigmoid())


class EmaThatSeesItsOwnDraw(ReinforceEma):
    """The moving average is moved before it is subtracted."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        mean = self.total / self.weight
        moved = mean.lerp(right.value.detach(), 1 - self.decay)
        score = latent.score(draw)
        return Estimate(right.value, (expand_right(f(draw).detach() - moved, score) * score).mean(0))


class DetachedDecoder(Rloo):
    """The value keeps no graph: f's own parameters get no gradient."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        return Estimate(right.value.detach(), right.grad)


class SecondDrawUnseen(Rloo):
    """f's own parameters get the gradient of the first draw alone, at the scale of both."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        return Estimate(f(draw)[0] / self.n + right.value.detach() * (1 - 1 / self.n), right.grad)


TWINS = {
    **PUBLISHED,
    **SUBSETS,
    "rebar without the path of z̃": (RebarWithoutPath, "bit-table", {}, {"cut"}),
    "categorical rebar without the path of z̃": (RebarWithoutPath, "category-table", {}, {"cut"}),
    "rebar with z̃ given another draw": (RebarConditionedOnAnotherDraw, "bit-table", {}, {"cut"}),
    "categorical rebar with z̃ given another draw": (RebarConditionedOnAnotherDraw, "category-table", {}, {"cut"}),
    "categorical rebar with raw logits in z̃": (RebarRawCondition, "category-table", {}, {"cut"}),
    "rloo over n": (rescaled(Rloo, 3 / 4), "bit-table", {"n": 4}, {"cut"}),
    "rloo over n, lower layer": (rescaled(Rloo, 1 / 2), "two-layer", {}, {"cut", "lower-cut", "between"}),
    "rloo over n, deeper encoder": (
        rescaled(Rloo, 1 / 2),
        "tiny-vae:deeper=4",
        {},
        {"cut", "encoder", "deeper-encoder"},
    ),
    "rloo over n, encoder": (rescaled(Rloo, 1 / 2), "tiny-vae", {}, {"cut", "encoder"}),
    "reinforce of the wrong sign": (rescaled(Reinforce, -1), "bit-table", {}, {"cut"}),
    "disarm without its half": (rescaled(Disarm, 2), "bit-table", {}, {"cut"}),
    "disarm without its sigmoid": (DisarmWithoutSigmoid, "bit-table", {}, {"cut"}),
    "a moving average that sees its own draw": (EmaThatSeesItsOwnDraw, "bit-table", {"decay": 0.5}, {"cut"}),
    "a detached decoder": (DetachedDecoder, "bit-table", {}, {"decoder"}),
    "a detached decoder, tiny-vae": (DetachedDecoder, "tiny-vae", {}, {"decoder"}),
    "rloo over n, half": (rescaled(Rloo, 1 / 2), "tiny-half", {}, {"cut", "encoder", "between"}),
    "rloo over n, half of classes": (
        rescaled(Rloo, 1 / 2),
        "tiny-half:latents=classes",
        {},
        {"cut", "encoder", "between"},
    ),
    "a detached decoder, half": (DetachedDecoder, "tiny-half", {}, {"between", "decoder"}),
    "half a decoder": (SecondDrawUnseen, "bit-table", {}, {"decoder"}),
    "exact off by 3 %": (rescaled(Exact, 1.03), "bit-table", {}, {"cut"}),
}


@pytest.mark.parametrize(("twin", "toy", "values", "wrong"), TWINS.values(), ids=TWINS)
def test_a_wrong_twin_is_caught(
    twin: type[Estimator], toy: str, values: dict[str, Any], wrong: set[str], examine: Callable[..., Any]
) -> None:
    """In the groups that are wrong, and in no other."""
    findings = examine(twin, toy, rows=1000, **values)
    assert {group for group, p in findings.p.items() if p < ALPHA} == wrong, findings.p


@pytest.mark.parametrize("cls", [Rloo, Disarm])
def test_a_scale_error_of_three_percent_is_caught(cls: type[Estimator], examine: Callable[..., Any]) -> None:
    """As announced by the smallest detectable bias of the right one, at half a million draws."""
    right, wrong = (examine(each, "bit-table", rows=8000) for each in (cls, rescaled(cls, 1.03)))
    assert right.detectable["cut"] < 0.03
    assert right.p["cut"] >= ALPHA > wrong.p["cut"]


@pytest.mark.parametrize(
    ("twin", "toy"),
    [(RebarRawPerturbation, "category-table"), (RebarWithIndependentRelaxation, "bit-table")],
)
def test_what_looks_wrong_and_is_not(twin: type[Estimator], toy: str, examine: Callable[..., Any]) -> None:
    """c sees z only through a softmax, which forgets shifts; and ∇ E c(z) depends on z's own distribution alone."""
    findings = examine(twin, toy, rows=1000)
    assert min(findings.p.values()) >= ALPHA, findings.p
