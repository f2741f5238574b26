"""Parameters in half precision, and autocast: noise, log-probabilities and state in float32, the caller's dtype for f.

Frequencies lie within SIGMAS standard errors of their probabilities; with the fixed seeds there is no false alarm.
"""

from __future__ import annotations

import math

import pytest
import torch
from dvae_bench.bench.check.case import Case
from dvae_bench.estimators import estimator
from dvae_bench.estimators.latents import (
    Bernoulli,
    Categorical,
    Codebook,
    Encodings,
    Gaussian,
    LatentSpec,
    LinearCodebook,
    Objective,
)
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, Plugin
from torch import Generator, Tensor, nn

SIGMAS = 5
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
HALF = (torch.float16, torch.bfloat16)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
half = pytest.mark.parametrize("dtype", HALF, ids=str)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def off(happened: Tensor, probability: float) -> float:
    """How many standard errors the frequency of an event lies from its probability."""
    n = happened.numel()
    return abs(float(happened.double().mean()) - probability) / math.sqrt(probability * (1 - probability) / n)


@every_dtype
def test_a_thousand_classes_have_their_frequencies(dtype: torch.dtype) -> None:
    """The first 125 of 1000 equal classes had 39 % of the draws in bfloat16, in place of 12.5 %."""
    latent = Categorical(torch.zeros(20_000, 1, 1000, dtype=dtype))
    for z in (latent.sample(1, seeded()), latent.harden(latent.perturb(latent.noise(1, seeded(1))))):
        assert off(z[..., :125].sum(-1), 1 / 8) < SIGMAS


@every_dtype
def test_rare_bits_have_their_frequency(dtype: torch.dtype) -> None:
    """In bfloat16 a bit of logit -8 was never 1."""
    latent = Bernoulli(torch.full((1_000_000,), -8.0, dtype=dtype))
    for z in (latent.sample(1, seeded()), latent.harden(latent.perturb(latent.noise(1, seeded(1))))):
        assert off(z, 1 / (1 + math.exp(8))) < SIGMAS


@every_dtype
def test_rare_codes_have_their_frequency(dtype: torch.dtype) -> None:
    """Two codes at squared distances 0 and 8 from every encoding."""
    codebook = Codebook(torch.tensor([[0.0, 0.0], [2.0, 2.0]], dtype=dtype))
    latent = Encodings(torch.zeros(100_000, 1, 2, dtype=dtype), codebook)
    assert off(latent.sample(1, seeded())[..., 0] > 1, 1 / (1 + math.exp(8))) < SIGMAS


@every_dtype
def test_the_tail_of_a_gaussian_has_its_frequency(dtype: torch.dtype) -> None:
    latent = Gaussian(torch.zeros(1_000_000, 1, 2, dtype=dtype))
    assert off(latent.sample(1, seeded()) > 3, 0.5 * math.erfc(3 / math.sqrt(2))) < SIGMAS


@half
def test_log_probabilities_are_in_float32(dtype: torch.dtype) -> None:
    """A sum over 2000 bits loses two digits and more in half precision."""
    logits = torch.randn(2000, generator=seeded()).to(dtype)
    low, full = Bernoulli(logits), Bernoulli(logits.float())
    z = full.sample(1, seeded(1))
    assert low.log_prob(z).dtype == torch.float32
    for found, expected in ((low.log_prob(z), full.log_prob(z)), (low.kl_to_prior(), full.kl_to_prior())):
        assert torch.equal(found, expected)


@half
def test_the_model_sees_its_own_dtype_and_gets_its_gradients_in_it(dtype: torch.dtype) -> None:
    """A model in half precision throughout: encoder, latent, decoder."""
    encoder, decoder = nn.Linear(3, 6).to(dtype), nn.Linear(6, 1).to(dtype)
    rloo = estimator("rloo:n=4", LatentSpec.bernoulli(6)).to(dtype)
    loss = rloo(lambda z: decoder(z).squeeze(-1), Bernoulli(encoder(torch.ones(5, 3, dtype=dtype))), seeded())
    assert loss.dtype == torch.float32
    loss.mean().backward()
    for module in (encoder, decoder):
        assert all(p.grad is not None and p.grad.dtype == dtype and p.grad.any() for p in module.parameters())


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("plugin", ESTIMATORS.builtin.values(), ids=lambda plugin: plugin.name)
def test_under_autocast_an_estimator_computes_as_without_it(plugin: Plugin) -> None:
    """Products of its own in bfloat16 would round the gradient; f alone is in the caller's autocast."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        found = []
        for inside in (False, True):
            leaf = case.params(7, dtype=torch.float32).requires_grad_()
            latent = case.latent(leaf)
            f = case.objective(latent)

            def outside(z: Tensor, f: Objective = f, inside: bool = inside) -> Tensor:
                assert torch.is_autocast_enabled("cpu") is inside
                with torch.autocast("cpu", enabled=False):
                    return f(z)

            with torch.autocast("cpu", torch.bfloat16, enabled=inside):
                loss = case.fresh()(outside, latent, seeded())
            found.append((loss.detach(), torch.autograd.grad(loss.sum(), leaf)[0]))
        for bare, cast in zip(*found, strict=True):
            assert torch.equal(bare, cast)


def test_an_encoder_under_autocast_gives_the_draws_of_its_logits() -> None:
    encoder = nn.Linear(3, 1_000)
    with torch.no_grad(), autocast():
        encoder.weight.zero_()
        encoder.bias.fill_(-8.0)
        latent = Bernoulli(encoder(torch.zeros(1_000, 3)))
        z = latent.sample(1, seeded())
    assert latent.dtype == torch.bfloat16
    assert off(z, 1 / (1 + math.exp(8))) < SIGMAS


def test_the_distribution_over_codes_is_not_rounded_by_autocast() -> None:
    """Its logits are differences of large products."""
    points = 20 + torch.randn(50, 4, 8, generator=seeded())
    codebook = Codebook(20 + torch.randn(64, 8, generator=seeded(1)))
    plain = Encodings(points, codebook).distribution.logits
    with autocast():
        assert torch.equal(Encodings(points, codebook).distribution.logits, plain)


@half
@pytest.mark.parametrize("name", ["reinforce-ema", "nvil", "slope-annealed-st", "smoothing:rate=0.1"])
def test_the_state_of_an_estimator_stays_in_float32(name: str, dtype: torch.dtype) -> None:
    """Counts and averages stop moving in half precision: 256 + 1 is 256 in bfloat16."""
    made = nn.ModuleList([estimator(name, LatentSpec.bernoulli(3))]).to(dtype)
    assert all(t.dtype == torch.float32 for t in made.state_dict().values() if t.is_floating_point())
    assert all(t.dtype == torch.float64 for t in made.double().state_dict().values() if t.is_floating_point())


@half
@pytest.mark.parametrize("book", [Codebook, LinearCodebook])
def test_a_codebook_stays_in_float32(book: type[Codebook] | type[LinearCodebook], dtype: torch.dtype) -> None:
    codebook = book.random(8, 2, torch.zeros(())).to(dtype)
    assert all(t.dtype == torch.float32 for t in codebook.state_dict().values())
