"""Quantisers: stochastic ones against enumeration, deterministic ones against their formulas, and faults planted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from dvae_bench.bench.collectors.variance import Variance
from dvae_bench.estimators import estimator
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.latents import Categorical, Codebook, Encodings, LatentSpec, LinearCodebook, expectation
from dvae_bench.estimators.quantisers import parts, vq_st
from dvae_bench.estimators.quantisers.stochastic_vq import StochasticVq
from dvae_bench.estimators.quantisers.vq_ema import VqEma
from dvae_bench.estimators.quantisers.vq_rotation import rotated
from torch import Tensor
from torch.testing import assert_close

ALPHA = 1e-6
SITES, WIDTH, CODES, ROWS = 2, 3, 4, 5
SPEC = LatentSpec.encodings(SITES, WIDTH, CODES)
LINEAR = LatentSpec.encodings(SITES, WIDTH, CODES, "linear-codebook")
DETERMINISTIC = ("vq-st", "vq-ema", "vq-rotation", "fsq", "lfq")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def encodings(rows: int = ROWS, temperature: float = 0.7, linear: bool = False) -> Encodings:
    book = (LinearCodebook if linear else Codebook)(normal(CODES, WIDTH, seed=1))
    return Encodings(normal(rows, SITES, WIDTH, seed=2).requires_grad_(), book, temperature)


def f(z: Tensor) -> Tensor:
    return (z.flatten(-2) @ normal(SITES * WIDTH, 4, seed=3)).sin().sum(-1)


def nothing(z: Tensor) -> Tensor:
    return 0 * z.sum((-2, -1))


def gradients(loss: Tensor, latent: Encodings) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss.sum(), latent.tensors, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("linear", (False, True))
def test_stochastic_vq_is_unbiased_over_every_pair_of_draws(linear: bool) -> None:
    """Each of the (4²)² pairs as a row, weighted by its probability: the gradient of E f, in encodings and codebook."""
    one = encodings(1, linear=linear)
    exact = gradients(expectation(f, one), one)
    choices = one.distribution.support().squeeze(1)
    pairs = torch.tensor(list(itertools.product(range(len(choices)), repeat=2)))
    latent = one.at(one.params.expand(len(pairs), SITES, WIDTH))
    draw = choices[pairs].movedim(1, 0)
    weight = one.distribution.log_prob(draw.flatten(0, 1).unsqueeze(1)).view(2, -1).sum(0).detach().exp()
    assert_close(weight.sum(), torch.ones((), dtype=torch.float64))
    stochastic = estimator("stochastic-vq", one.spec)
    value = (weight * stochastic.gradient(f, latent, draw).value).sum()
    for found, expected in zip(gradients(value, one), exact, strict=True):
        assert expected.abs().sum() > 0
        assert_close(found, expected)


class WithoutCodebookPath(StochasticVq):
    """z = c_k is a constant in f."""

    def gradient(self, f: Any, latent: Encodings, draw: Tensor) -> Estimate:
        codes = latent.distribution
        return Estimate(self.rloo.gradient(lambda z: f(latent.mix(z).detach()), codes, draw).spliced(codes))


class DetachedLogits(StochasticVq):
    """The score reaches neither encodings nor codebook."""

    def gradient(self, f: Any, latent: Encodings, draw: Tensor) -> Estimate:
        value = self.rloo.gradient(lambda z: f(latent.mix(z)), latent.distribution, draw).value
        return Estimate(value + 0 * latent.params.sum((-2, -1)))


class WrongTemperature(StochasticVq):
    """The gradient of a distribution twice as hot as the one drawn from."""

    def gradient(self, f: Any, latent: Encodings, draw: Tensor) -> Estimate:
        return super().gradient(f, Encodings(latent.params, latent.codebook, 2 * latent.temperature), draw)


class DrawnAtAnotherTemperature(StochasticVq):
    """Draws of a distribution twice as hot as the one differentiated."""

    def sample(self, latent: Encodings, generator: Any) -> Tensor:
        return super().sample(Encodings(latent.params, latent.codebook, 2 * latent.temperature), generator)


class WithoutTheCodesNorm(StochasticVq):
    """Logits 2 e·c / T: an inner product in place of the distance."""

    def _logits(self, latent: Encodings) -> Categorical:
        return Categorical(2 * latent.params @ latent.vectors.mT / latent.temperature)

    def gradient(self, f: Any, latent: Encodings, draw: Tensor) -> Estimate:
        distribution = self._logits(latent)
        return Estimate(self.rloo.gradient(lambda z: f(latent.mix(z)), distribution, draw).spliced(distribution))


TWINS = [
    (WithoutCodebookPath, "codebook"),
    (DetachedLogits, "cut"),
    (DetachedLogits, "codebook"),
    (WrongTemperature, "cut"),
    (DrawnAtAnotherTemperature, "value"),
    (WithoutTheCodesNorm, "codebook"),
]


@pytest.mark.parametrize("toy", ("vq-table", "vq-table:codebook=linear-codebook"))
@pytest.mark.parametrize(("twin", "group"), TWINS)
def test_wrong_twins_are_caught(twin: type[Estimator], group: str, toy: str, examine: Callable[..., Any]) -> None:
    assert examine(twin, toy, rows=1000).p[group] < ALPHA


@pytest.mark.parametrize(
    ("name", "codes"),
    [("vq-st", CODES), ("vq-ema", CODES), ("fsq:levels=5", 125), ("fsq:levels=4", 64), ("lfq", 8)],
)
def test_codes_are_numbered(name: str, codes: int) -> None:
    """Numbers and vectors are two names of the code that `quantise` takes, and every number has a vector of its own."""
    latent, quantiser = encodings(1000), estimator(name, SPEC)
    numbers = quantiser.indices(latent)
    assert torch.equal(quantiser.vectors(numbers, latent), quantiser.quantise(latent))
    assert numbers.unique().tolist() == list(range(codes)) == list(range(quantiser.codes))
    vectors = quantiser.vectors(torch.arange(codes), latent)
    assert len(vectors.unique(dim=0)) == codes and vectors.dtype == latent.params.dtype


@pytest.mark.parametrize("name", ("vq-st", "vq-rotation"))
def test_losses_pull_the_encoding_to_the_code_and_the_code_to_the_encoding(name: str) -> None:
    """With f = 0: 2 β (e - c) at the encodings, Σ 2 (c - e) over those that chose it at a code."""
    latent, beta = encodings(), 0.3
    found = gradients(estimator(f"{name}:beta={beta}", SPEC).double()(nothing, latent), latent)
    e, codes = latent.params.detach(), latent.nearest()
    code = latent.look_up(codes).detach()
    pulled = torch.zeros(CODES, WIDTH, dtype=torch.float64).index_add(0, codes.flatten(), 2 * (code - e).flatten(0, 1))
    assert_close(found, (2 * beta * (e - code), pulled))


@pytest.mark.parametrize("name", ("vq-st", "vq-ema"))
def test_straight_through_hands_the_gradient_of_f_at_the_code_to_the_encoding(name: str) -> None:
    latent = encodings()
    found, codebook = gradients(estimator(f"{name}:beta=0.0", SPEC).double().eval()(f, latent), latent)
    code = latent.look_up(latent.nearest()).detach().requires_grad_()
    assert_close(found, *torch.autograd.grad(f(code).sum(), code))
    assert name == "vq-st" or codebook.abs().sum() == 0


@pytest.mark.parametrize("sign", (-1, 1))
def test_a_commitment_of_the_wrong_sign_is_seen(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    right = parts.codebook_and_commitment
    monkeypatch.setattr(vq_st, "codebook_and_commitment", lambda e, c, beta: right(e, c, sign * beta))
    latent = encodings()
    found, _ = gradients(estimator("vq-st", SPEC)(nothing, latent), latent)
    away = 2 * 0.25 * (latent.params - latent.look_up(latent.nearest())).detach()
    assert torch.allclose(found, away) is (sign == 1)


@pytest.mark.parametrize("name", ("vq-st", "vq-ema", "vq-rotation", "simvq"))
def test_f_sees_the_code_itself(name: str) -> None:
    linear = name == "simvq"
    latent, seen = encodings(linear=linear), []
    estimator(name, LINEAR if linear else SPEC).eval()(lambda z: (seen.append(z), nothing(z))[1], latent)
    (z,) = seen
    assert torch.equal(z.squeeze(0), latent.look_up(latent.nearest()))


def test_rotation_turns_and_stretches_the_encoding_onto_the_code() -> None:
    """The Jacobian is λ R: R is a rotation (RᵀR = 1, det 1), λ R e = c, and what is orthogonal to both stays."""
    e, c = normal(WIDTH, seed=5), normal(WIDTH, seed=6)
    jacobian = torch.autograd.functional.jacobian(lambda point: rotated(point, c), e)
    turn = jacobian * e.norm() / c.norm()
    assert_close(turn.mT @ turn, torch.eye(WIDTH, dtype=torch.float64))
    assert_close(torch.linalg.det(turn), torch.ones((), dtype=torch.float64))
    assert_close(jacobian @ e, c)
    across = torch.linalg.cross(e, c)
    assert_close(turn @ across, across)


@pytest.mark.parametrize("point", ([0.0, 0.0], [1e-30, 0.0], [-1.0, -2.0]))
def test_rotation_is_finite_at_zero_and_opposite_the_code(point: list[float]) -> None:
    e = torch.tensor(point, requires_grad=True)
    (gradient,) = torch.autograd.grad(rotated(e, torch.tensor([1.0, 2.0])).sum(), e)
    assert gradient.isfinite().all()


def test_vq_gumbel_is_the_gradient_of_its_relaxed_objective() -> None:
    """At given noise, in encodings and codebook, against central differences; so its mean has no bias."""
    latent, step = encodings(), 1e-5
    gumbel = estimator("vq-gumbel", SPEC)
    draw = gumbel.sample(latent, seeded())

    def loss(shift: float = 0.0, tensor: int = 0) -> Tensor:
        moved = [each.detach().clone() for each in latent.tensors]
        moved[tensor] += shift * normal(*moved[tensor].shape, seed=9)
        own = Encodings(moved[0], Codebook(moved[1]), latent.temperature)
        return gumbel.gradient(f, own, draw).value.sum()

    slopes = gradients(gumbel.gradient(f, latent, draw).value.sum(), latent)
    for tensor, slope in enumerate(slopes):
        difference = (loss(step, tensor) - loss(-step, tensor)) / (2 * step)
        assert_close(difference, (slope * normal(*slope.shape, seed=9)).sum(), rtol=1e-7, atol=0.0)
    assert gumbel.claim().target == "own-relaxed" and gumbel.claim().unbiased


@pytest.mark.parametrize("name", (*DETERMINISTIC, "simvq"))
def test_deterministic_ones_claim_a_bias_for_the_distribution_over_codes(name: str) -> None:
    claim = estimator(name, LINEAR if name == "simvq" else SPEC).claim()
    assert (claim.target, claim.unbiased, claim.random) == ("discrete", False, False)


@pytest.mark.parametrize("point", ([0.0, 0.0], [1e-30, 0.0]))
def test_a_zero_encoding_of_rotation_gets_the_gradient_of_straight_through(point: list[float]) -> None:
    e, w = torch.tensor(point, requires_grad=True), torch.tensor([0.3, -2.0])
    assert torch.equal(*torch.autograd.grad(rotated(e, torch.tensor([1.0, 2.0])) @ w, e), w)


def moved(latent: Encodings, run: Callable[[], None]) -> bool:
    before = latent.vectors.detach().clone()
    run()
    return not torch.equal(latent.vectors, before)


def test_ema_moves_the_codebook_in_training_alone() -> None:
    """In train() with gradients on: not in eval(), and not under torch.no_grad()."""
    latent, ema = encodings(), estimator("vq-ema", SPEC)
    assert moved(latent, lambda: ema.train()(f, latent))
    assert not moved(latent, lambda: ema.eval()(f, latent))
    with torch.no_grad():
        assert not moved(latent, lambda: ema.train()(f, latent))


class AlwaysMoves(VqEma):
    """Moves the codebook wherever it is called."""

    def estimate(self, f: Any, latent: Encodings, generator: Any = None) -> Estimate:
        draw = self.sample(latent, generator)
        latent.codebook.move(latent.params.flatten(0, -2), draw.codes.flatten(), self.decay, self.eps)
        return self.gradient(f, latent, draw)


def test_an_ema_that_always_moves_would_be_seen() -> None:
    latent, ema = encodings(), AlwaysMoves(SPEC)
    assert moved(latent, lambda: ema.eval()(f, latent))


def test_ema_lets_gradients_through_to_the_encoder_in_eval() -> None:
    latent = encodings()
    estimator("vq-ema", SPEC).eval()(f, latent).sum().backward()
    assert latent.params.grad is not None and latent.params.grad.abs().sum() > 0
    assert latent.codebook.vectors.grad is None


def test_ema_moves_as_the_codebook_does() -> None:
    latent, other = encodings(), encodings()
    estimator("vq-ema:decay=0.9,eps=0.01", SPEC).train()(f, latent)
    other.codebook.move(other.params.flatten(0, -2), other.nearest().flatten(), 0.9, 0.01)
    assert torch.equal(latent.vectors, other.vectors)


@pytest.mark.parametrize("dead", (0.0, 10.0))
def test_ema_replaces_dead_codes_by_encodings_of_the_batch(dead: float) -> None:
    latent = encodings()
    estimator(f"vq-ema:dead={dead}", SPEC).train()(f, latent, seeded())
    points = latent.params.detach().flatten(0, 1)
    among = [bool((points == vector).all(-1).any()) for vector in latent.vectors.detach()]
    assert all(among) if dead else not any(among)


def test_ema_takes_an_empty_batch_and_infinite_encodings() -> None:
    """An empty batch has no encoding to put in place of a dead code; an infinite encoding leaves the codes finite."""
    ema, latent = estimator("vq-ema:dead=1", SPEC).train(), encodings()
    before = latent.vectors.detach().clone()
    assert ema(f, latent.at(latent.params[:0])).shape == (0,)
    assert_close(latent.vectors.detach(), before, rtol=1e-4, atol=0.0)
    params = latent.params.detach().clone()
    params[0, 0, 0] = math.inf
    ema(f, latent.at(params.requires_grad_()), seeded())
    assert latent.vectors.isfinite().all()


@pytest.mark.parametrize("levels", (3, 4, 5, 8))
def test_fsq_has_its_levels_in_one_number(levels: int) -> None:
    spec = LatentSpec.encodings(1, 1, 1)
    e = torch.linspace(-20, 20, 4001, dtype=torch.float64).view(-1, 1, 1)
    latent, seen = Encodings(e, Codebook(torch.zeros(1, 1, dtype=torch.float64))), []
    estimator(f"fsq:levels={levels}", spec)(lambda z: (seen.append(z), nothing(z))[1], latent)
    found = seen[0].unique()
    low = levels // 2
    expected = torch.arange(levels, dtype=torch.float64) - low
    assert_close(found, expected / low)
    assert seen[0][0, 2000] == 0


def test_lfq_has_the_entropy_of_the_codes_distribution() -> None:
    """H over the 2^D sign vectors of softmax(-s ||e - c||²), and usage 1/2: the rest is -D log 2 a site."""
    lfq = estimator("lfq:weight=0.5,inverse_temperature=0.2", SPEC).double()
    latent = encodings()
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=WIDTH)), dtype=torch.float64)
    p = (-0.2 * (latent.params.unsqueeze(-2) - signs).square().sum(-1)).softmax(-1)
    entropy = -(p * p.log()).sum((-2, -1))
    expected = 0.5 * (entropy - SITES * WIDTH * math.log(2))
    value = lfq.eval()(nothing, latent)
    assert_close(value, expected)
    assert_close(gradients(value, latent)[0], gradients(expected, latent)[0])


def test_lfq_pushes_away_from_the_sign_that_is_used_too_often() -> None:
    lfq = estimator("lfq:inverse_temperature=0.2", SPEC).double().train()
    latent = encodings(rows=50).at(normal(50, SITES, WIDTH, seed=7).abs().requires_grad_())
    for _ in range(400):
        lfq(nothing, latent)
    assert_close(lfq.usage, (0.8 * latent.params).sigmoid().detach().flatten(0, 1).mean(0), rtol=0.02, atol=0.0)
    near = latent.at((1e-3 * latent.params).detach().requires_grad_())
    gradient, _ = gradients(lfq.eval()(nothing, near), near)
    assert (gradient > 0).all()  # descent lowers e, towards the sign that is rare


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_what_draws_nothing_has_no_variance_to_report(name: str, examine: Callable[..., Any]) -> None:
    cls = type(estimator(name, SPEC))
    rows = list(Variance().rows(examine(cls, "vq-table", rows=8).draws))
    assert {row["status"] for row in rows} == {"not applicable"}
    assert all(math.isnan(row["value"]) and "draws nothing" in row["reason"] for row in rows)


def test_what_draws_has_one(examine: Callable[..., Any]) -> None:
    rows = list(Variance().rows(examine(StochasticVq, "vq-table", rows=8).draws))
    assert all(row["value"] > 0 for row in rows if row["metric"] == "var_total")


@pytest.mark.parametrize("temperature", (0.1, 1.0))
@pytest.mark.parametrize("name", ("vq-st", "vq-rotation", "vq-gumbel"))
def test_biased_ones_are_found_biased(name: str, temperature: float, examine: Callable[..., Any]) -> None:
    cls = type(estimator(name, SPEC))
    assert examine(cls, f"vq-table:temperature={temperature}").p["cut"] < ALPHA
