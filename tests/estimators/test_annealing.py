"""Hyper-parameters that move with the training steps."""

from __future__ import annotations

import math

import pytest
import torch
from dvae_bench import Bernoulli, LatentSpec, estimator
from dvae_bench.estimators.annealing import Schedule
from dvae_bench.estimators.contract import Estimator
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.straight_through.slope_annealed_st import SlopeAnnealedSt

FALLING = ("gumbel-softmax:tau=1,min_tau=.7", "st-gumbel-softmax:tau=1,min_tau=.7", "gumbel-rao:tau=1,min_tau=.7,k=3")
RISING = ("mve:temp=1,max_temp=1.4", "smoothing:beta=1,max_beta=1.4")


def gradient(method: Estimator) -> torch.Tensor:
    """What a training step sends to the logits of three bits, from the same noise always."""
    logits = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    generator, latent = torch.Generator().manual_seed(7), Bernoulli(logits)
    return torch.autograd.grad(method(lambda z: (z - 0.4).exp().square().sum(-1), latent, generator), logits)[0]


def schedule(method: Estimator) -> Schedule:
    return next(module for module in method.modules() if isinstance(module, Schedule))


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_it_moves_with_training_steps_only_and_stops_at_its_end(name: str) -> None:
    method, sign = estimator(f"{name},rate=.01", LatentSpec.bernoulli(3)), 1 if name in RISING else -1
    values = []
    for _ in range(50):
        values.append(float(schedule(method)()))
        gradient(method.train())
        gradient(method.eval())
    end = 1.4 if name in RISING else 0.7
    expected = [sign * min(sign * end, sign * math.exp(sign * 0.01 * step)) for step in range(50)]
    assert values == pytest.approx(expected, rel=1e-6)
    assert expected[-1] == end


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_an_annealed_value_is_that_value(name: str) -> None:
    sign = 1 if name in RISING else -1
    annealed = estimator(f"{name},rate=.1", LatentSpec.bernoulli(3)).eval()
    schedule(annealed).steps.number.fill_(2)
    there = name.replace("=1,", f"={math.exp(sign * 0.2)!r},")
    fixed, unmoved = (estimator(text, LatentSpec.bernoulli(3)).eval() for text in (there, name))
    torch.testing.assert_close(gradient(annealed), gradient(fixed), rtol=1e-6, atol=0)
    assert not torch.allclose(gradient(annealed), gradient(unmoved), rtol=1e-3)


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_a_fixed_value_has_no_state(name: str) -> None:
    fixed = estimator(name, LatentSpec.bernoulli(3))
    assert schedule(fixed)() == 1
    assert not [*fixed.parameters(), *fixed.buffers()]


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_it_must_start_before_its_end(name: str) -> None:
    start, bound = ("=2,", "start below") if name in RISING else ("=.5,", "start above")
    with pytest.raises(UsageError, match=bound):
        estimator(f"{name.replace('=1,', start)},rate=.1", LatentSpec.bernoulli(3))


@pytest.mark.parametrize("name", [*FALLING, *RISING])
def test_four_calls_per_step_anneal_as_one(name: str) -> None:
    """Accumulating over four minibatches annealed four times too fast."""
    accumulated, plain = (estimator(f"{name},rate=.01", LatentSpec.bernoulli(3)) for _ in range(2))
    for _ in range(3):
        for _ in range(4):
            gradient(accumulated)
        accumulated.step()
        gradient(plain)
    assert torch.equal(torch.as_tensor(schedule(accumulated)()), torch.as_tensor(schedule(plain)()))
    with torch.no_grad():
        gradient_free(accumulated)
    assert torch.equal(torch.as_tensor(schedule(accumulated)()), torch.as_tensor(schedule(plain)()))


def gradient_free(method: Estimator) -> None:
    method(lambda z: z.sum(-1), Bernoulli(torch.zeros(3)))


def test_the_slope_counts_steps_too_and_resumes_with_them() -> None:
    method = estimator("slope-annealed-st:rate=.5", LatentSpec.bernoulli(3))
    for _ in range(2):
        gradient(method)
        gradient(method)
        method.step()
    resumed = estimator("slope-annealed-st:rate=.5", LatentSpec.bernoulli(3))
    resumed.load_state_dict(method.state_dict())
    gradient(resumed)
    assert isinstance(resumed, SlopeAnnealedSt) and resumed.slope() == 2


def test_step_reaches_every_layer_and_is_nothing_without_a_schedule() -> None:
    layers = estimator("gumbel-softmax:tau=1,rate=.1", *[LatentSpec.bernoulli(3)] * 2)
    layers.step()
    assert [float(module()) for module in layers.modules() if isinstance(module, Schedule)] == pytest.approx(
        [math.exp(-0.1)] * 2
    )
    estimator("reinforce", LatentSpec.bernoulli(3)).step()
