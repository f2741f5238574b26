"""Every latent: its distribution by enumeration and by sampling, its score, and its perturbed logits given z.

ALPHA is the chance of a false alarm of one test under fresh seeds; with the fixed seeds there is none.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dvae_bench.estimators.latents import (
    LATENTS,
    Bernoulli,
    Categorical,
    Codebook,
    Encodings,
    Gaussian,
    Latent,
    expectation,
)
from dvae_bench.estimators.latents.noise import bits, uniform
from scipy import stats
from torch import Generator, Tensor

ALPHA = 1e-6
DRAWS = 20_000
SHAPES = {"bernoulli": (3,), "categorical": (2, 4)}

every_kind = pytest.mark.parametrize("kind", LATENTS)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str, *batch: int, dtype: torch.dtype = torch.float64) -> Latent:
    params = torch.randn(*batch, *SHAPES[kind], generator=seeded(1), dtype=dtype)
    return LATENTS[kind](params.requires_grad_())


def extreme(kind: str, dtype: torch.dtype) -> Latent:
    """64 rows of logits of ±50."""
    signs = torch.randint(0, 2, (64, *SHAPES[kind]), generator=seeded(2))
    return LATENTS[kind]((100.0 * signs - 50).to(dtype).requires_grad_())


def marginals(latent: Latent, perturbed: Tensor) -> list[tuple[np.ndarray, object]]:
    """Samples of perturbed logits [n, *event], each with its distribution: coordinates, and pairs within a site."""
    draws, params = perturbed.detach().flatten(1).numpy(), latent.params.detach()
    if isinstance(latent, Bernoulli):
        return [(draws[:, d], stats.logistic(loc=float(params[d]))) for d in range(draws.shape[1])]
    log_pi = params.log_softmax(-1)
    found = [(draws[:, i], stats.gumbel_r(loc=float(mean))) for i, mean in enumerate(log_pi.flatten())]
    for site in range(log_pi.shape[0]):
        difference = perturbed.detach()[:, site, 0] - perturbed.detach()[:, site, 1]
        found.append((difference.numpy(), stats.logistic(loc=float(log_pi[site, 0] - log_pi[site, 1]))))
    return found


def smallest_p(samples: list[tuple[np.ndarray, object]]) -> float:
    """The smallest Kolmogorov-Smirnov p-value, times how many there are."""
    return len(samples) * min(stats.kstest(draws, distribution.cdf).pvalue for draws, distribution in samples)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("latent", "shown"),
    [
        (Bernoulli(torch.zeros(16, 20)), "Bernoulli(batch=(16,), bits=20)"),
        (Bernoulli(torch.zeros(3, device="meta")), "Bernoulli(batch=(), bits=3)"),
        (Categorical(torch.zeros(2, 5, 20, 10)), "Categorical(batch=(2, 5), sites=20, classes=10)"),
        (Gaussian(torch.zeros(7, 4, 2)), "Gaussian(batch=(7,), sites=4)"),
        (
            Encodings(torch.zeros(1, 3, 2), Codebook(torch.zeros(8, 2))),
            "Encodings(batch=(1,), sites=3, width=2, codes=8)",
        ),
    ],
    ids=repr,
)
def test_a_latent_shows_its_sizes_and_no_values(latent: Latent, shown: str) -> None:
    assert repr(latent) == shown


@every_kind
def test_enumeration_gives_the_distribution(kind: str) -> None:
    """Every configuration once, in one piece or in blocks; probabilities sum to 1 and have the mean `probs`."""
    latent = make(kind, 2, 5)
    z = latent.support()
    assert len(z) == latent.spec.configurations == len(z.flatten(1).unique(dim=0))
    assert torch.equal(torch.cat(list(latent.blocks(3))), z)
    q = latent.log_prob(z).exp()
    torch.testing.assert_close(q.sum(0), torch.ones(2, 5, dtype=torch.float64))
    weights = q.reshape(q.shape + (1,) * len(SHAPES[kind]))
    torch.testing.assert_close((weights * z).sum(0), latent.probs)


@every_kind
def test_the_score_is_the_gradient_of_log_prob(kind: str) -> None:
    latent = make(kind, 5)
    z = latent.sample(7, seeded())
    for draw in z:
        (gradient,) = torch.autograd.grad(latent.log_prob(draw.unsqueeze(0)).sum(), latent.params)
        torch.testing.assert_close(latent.score(draw), gradient)
    assert not latent.score(z).requires_grad


@every_kind
def test_log_prob_is_linear_in_relaxed_z(kind: str) -> None:
    latent = make(kind)
    a, b = (latent.relax(latent.perturb(latent.noise(1, seeded(s))), 1.0) for s in (1, 2))
    torch.testing.assert_close(latent.log_prob((a + b) / 2), (latent.log_prob(a) + latent.log_prob(b)) / 2)


@every_kind
def test_samples_have_the_frequencies_of_their_probabilities(kind: str) -> None:
    """Chi-square over all configurations, for `sample`, `sample_many` and hardened perturbed logits."""
    latent = make(kind)
    support = latent.support()
    expected = DRAWS * latent.log_prob(support).exp().detach().numpy()
    hardened = latent.harden(latent.perturb(latent.noise(DRAWS, seeded(4))))
    for z in (latent.sample(DRAWS, seeded(3)), latent.sample_many(DRAWS, seeded(5)), hardened):
        assert not z.requires_grad
        same = (z.flatten(1).unsqueeze(1) == support.flatten(1)).all(-1)
        assert same.sum() == DRAWS
        assert stats.chisquare(same.sum(0).numpy(), expected).pvalue >= ALPHA


@both_types
def test_bits_of_a_byte_keep_what_a_byte_cannot_tell(dtype: torch.dtype) -> None:
    """Binomial, at probabilities between multiples of 1/256; the multiples below them are rejected."""
    p = torch.tensor([1 / 600, 0.3, 0.5 + 1 / 300, 1 - 1 / 600, 0, 0.25, 1], dtype=dtype)
    n = 50 * DRAWS
    z = bits(p, n, seeded(9))
    assert z.dtype == dtype and set(z.unique().tolist()) == {0, 1}
    ones, below = z.sum(0).long().tolist(), (256 * p).floor() / 256
    chances = [stats.binomtest(count, n, float(chance)).pvalue for count, chance in zip(ones, p, strict=True)]
    assert min(chances) >= ALPHA
    wrong = [stats.binomtest(count, n, float(chance)).pvalue for count, chance in zip(ones[:4], below, strict=False)]
    assert max(wrong) < ALPHA


@every_kind
def test_perturbed_logits_follow_their_distribution(kind: str) -> None:
    latent = make(kind)
    assert smallest_p(marginals(latent, latent.perturb(latent.noise(DRAWS, seeded(5))))) >= ALPHA


@every_kind
def test_given_a_fair_draw_of_z_the_distribution_is_the_same(kind: str) -> None:
    """z̃ ~ q(z̃ given z), averaged over z ~ q(z), is distributed as perturbed logits."""
    latent = make(kind)
    z = latent.sample(DRAWS, seeded(6))
    assert smallest_p(marginals(latent, latent.condition(z, DRAWS, seeded(7)))) >= ALPHA


@every_kind
def test_given_a_fixed_z_the_distribution_is_that_of_the_draws_that_gave_z(kind: str) -> None:
    """Against rejection: perturbed logits whose hardened z is the first configuration."""
    latent = make(kind)
    (first,) = latent.configurations(0, 1)
    free = latent.perturb(latent.noise(20 * DRAWS, seeded(8))).detach()
    kept = free[(latent.harden(free) == first).flatten(1).all(-1)].flatten(1)
    assert len(kept) > DRAWS / 10
    given = latent.condition(first.expand(DRAWS, *first.shape), DRAWS, seeded(9)).detach().flatten(1)
    p = [stats.ks_2samp(kept[:, d], given[:, d]).pvalue for d in range(kept.shape[1])]
    assert len(p) * min(p) >= ALPHA


@every_kind
@both_types
def test_hardening_gives_back_z(kind: str, dtype: torch.dtype) -> None:
    """Whatever z and the logits, with finite values and gradients throughout."""
    for latent in (make(kind, 64, dtype=dtype), extreme(kind, dtype)):
        sites = torch.randint(0, latent.spec.configurations, (40,), generator=seeded(10))
        z = torch.cat([latent.configurations(int(i), int(i) + 1) for i in sites])
        perturbed = latent.condition(z, len(z), seeded(11))
        assert torch.equal(latent.harden(perturbed), z)
        (gradient,) = torch.autograd.grad(perturbed.sum(), latent.params)
        assert perturbed.isfinite().all()
        assert gradient.isfinite().all()
        assert perturbed.dtype == gradient.dtype == dtype


@every_kind
def test_the_path_of_the_conditioned_logits_is_that_of_finite_differences(kind: str) -> None:
    """autograd through `condition` at fixed z and noise, against central differences."""
    latent = make(kind)
    z = latent.sample(200, seeded(12))
    weight = torch.randn(z.shape, generator=seeded(13), dtype=torch.float64)

    def total(params: Tensor) -> Tensor:
        return (weight * LATENTS[kind](params).condition(z, len(z), seeded(14))).sum()

    assert torch.autograd.gradcheck(total, latent.params)


@every_kind
@both_types
def test_extreme_logits_are_finite(kind: str, dtype: torch.dtype) -> None:
    latent = extreme(kind, dtype)
    z = latent.sample(20, seeded(15))
    relaxed = latent.relax(latent.perturb(latent.noise(20, seeded(16))), 0.1)
    for result in (latent.log_prob(z), latent.log_prob(1 - z), latent.kl_to_prior(), relaxed, latent.probs):
        (gradient,) = torch.autograd.grad(result.sum(), latent.params)
        assert result.isfinite().all()
        assert gradient.isfinite().all()


@every_kind
def test_relaxed_logits_harden_as_tau_falls(kind: str) -> None:
    latent = make(kind)
    perturbed = latent.perturb(latent.noise(100, seeded(17)))
    torch.testing.assert_close(latent.relax(perturbed, 1e-6), latent.harden(perturbed))
    torch.testing.assert_close(latent.tempered_probs(1.0), latent.probs)
    torch.testing.assert_close(latent.tempered_probs(2.0), LATENTS[kind](latent.params / 2).probs)


@every_kind
def test_the_kl_to_the_prior_is_the_enumerated_one(kind: str) -> None:
    latent = make(kind, 5)
    enumerated = expectation(latent.log_prob, latent) + math.log(latent.spec.configurations)
    torch.testing.assert_close(latent.kl_to_prior(), enumerated)
    gradients = [torch.autograd.grad(kl.sum(), latent.params)[0] for kl in (latent.kl_to_prior(), enumerated)]
    torch.testing.assert_close(*gradients)


@every_kind
@both_types
def test_draws_follow_the_generator_shape_and_type(kind: str, dtype: torch.dtype) -> None:
    latent = make(kind, 2, 5, dtype=dtype)
    for draw in (latent.sample, latent.noise, lambda n, g: latent.condition(latent.sample(n, g), n, g)):
        first, second = (draw(3, seeded(18)) for _ in range(2))
        assert torch.equal(first, second)
        assert first.shape == (3, 2, 5, *SHAPES[kind])
        assert first.dtype == dtype


@every_kind
@both_types
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_noise_is_finite_at_the_ends_of_the_uniforms(
    kind: str, dtype: torch.dtype, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least and the greatest number torch.rand can give are strictly inside (0, 1), and all noise is finite."""
    at = 0.0 if end == "lowest" else 1 - torch.finfo(dtype).eps / 2
    monkeypatch.setattr(torch, "rand", lambda shape, generator, device, dtype: torch.full(shape, at, dtype=dtype))
    latent = make(kind, dtype=dtype)
    u = uniform((1,), latent.params, None)
    assert 0 < u < 1
    assert latent.noise(1, None).isfinite().all()
    for z in latent.support():
        assert latent.condition(z.unsqueeze(0), 1, None).isfinite().all()


def test_two_classes_are_a_bit() -> None:
    """A site of two classes with logits (0, φ) is a bit with logit φ."""
    logits = torch.randn(3, generator=seeded(20), dtype=torch.float64)
    bit, site = Bernoulli(logits), Categorical(torch.stack([torch.zeros_like(logits), logits], -1))
    torch.testing.assert_close(site.probs[:, 1], bit.probs)
    torch.testing.assert_close(site.kl_to_prior(), bit.kl_to_prior())


@every_kind
def test_sites_and_classes_stand_for_z(kind: str) -> None:
    """The K^D configurations are the K^D choices of a class at each site, each of the probability of its classes."""
    latent = make(kind, 5)
    z, spec = latent.support(), latent.spec
    classes = latent.classes(z)
    assert classes.shape[1:] == latent.site_shape and len(classes) == spec.classes ** latent.site_shape[-1]
    assert len(classes[:, 0].unique(dim=0)) == spec.configurations and classes.max() == spec.classes - 1
    assert torch.equal(latent.from_classes(classes), z)
    log_pi = latent.log_class_probs
    own = log_pi.expand(*classes.shape, -1).gather(-1, classes.unsqueeze(-1)).squeeze(-1).sum(-1)
    torch.testing.assert_close(own, latent.log_prob(z).detach())
    assert torch.equal(latent.class_weights(z).argmax(-1), classes)
    assert torch.equal(latent.class_weights(z).sum(-1), torch.ones(classes.shape, dtype=z.dtype))
    assert torch.equal(latent.coordinates(latent.class_weights(z)), z)
    torch.testing.assert_close(latent.class_logits(latent.params).log_softmax(-1).detach(), log_pi)


@every_kind
def test_a_gradient_in_the_logits_of_every_class_in_the_parameters_own_coordinates(kind: str) -> None:
    latent = make(kind, 3)
    logits = latent.class_logits(latent.params)
    inner = torch.randn(logits.shape, generator=seeded(5), dtype=logits.dtype)
    (grad,) = torch.autograd.grad((logits * inner).sum(), latent.params)
    assert torch.equal(latent.coordinates(inner), grad)


@every_kind
def test_the_inverse_of_the_cdf(kind: str) -> None:
    """At the middle of each class's interval, and at its left end, which belongs to it."""
    latent = make(kind)
    pi = latent.log_class_probs.exp()
    right = pi.cumsum(-1)
    for c in range(latent.spec.classes):
        expected = torch.full(latent.site_shape, c)
        left = right[..., c - 1] if c else torch.zeros(latent.site_shape, dtype=pi.dtype)
        for u in (left, left + 0.5 * pi[..., c]):
            assert torch.equal(latent.classes(latent.icdf(u.unsqueeze(0)))[0], expected)


def test_a_last_class_without_probability_is_not_drawn_at_the_largest_uniform_number() -> None:
    """In float32, where the sum of the others' probabilities rounds to less than that number at some sites."""
    logits = torch.cat([torch.randn(1000, 10, generator=seeded(16)), torch.full((1000, 1), -200.0)], -1)
    latent = Categorical(logits)
    largest = torch.full((1, 1000), 1 - 2**-24)
    assert (latent.log_class_probs.exp().cumsum(-1)[:, -2] < largest).any()
    assert not latent.icdf(largest)[..., -1].any()


@every_kind
def test_the_second_moment_about_a_draw_and_the_jacobian_of_the_softmax(kind: str) -> None:
    """Against the moment by enumeration, and against autograd."""
    latent = make(kind)
    v = torch.randn(latent.params.shape, generator=seeded(6), dtype=torch.float64)
    every, others = latent.support(), tuple(range(2, latent.params.dim() + 1))
    q = latent.log_prob(every).exp().detach()
    for z in every:
        apart = every - z
        within = (apart * v).sum(others, keepdim=True) if others else apart * v
        expected = (q.view(-1, *[1] * latent.params.dim()) * apart * within).sum(0)
        torch.testing.assert_close(latent.second_moment(latent.probs.detach(), z, v), expected)
    (expected,) = torch.autograd.grad(latent.probs, latent.params, v)
    torch.testing.assert_close(latent.softmax_jacobian(latent.probs.detach(), v), expected)


@every_kind
def test_gapped_logits_agree_with_the_draw(kind: str) -> None:
    """The class drawn leads by the gap or by as much as it did, and where it led by that nothing is changed."""
    latent, gap = make(kind), 0.7
    for z in latent.support():
        own = latent.class_logits(latent.gapped(z, gap))
        drawn, weights = latent.classes(z.unsqueeze(0))[0].unsqueeze(-1), latent.class_weights(z)
        rivals = own.masked_fill(weights > 0.5, -math.inf).amax(-1)
        lead = own.gather(-1, drawn).squeeze(-1) - rivals
        before = latent.class_logits(latent.params.detach())
        led = before.gather(-1, drawn).squeeze(-1) - before.masked_fill(weights > 0.5, -math.inf).amax(-1)
        torch.testing.assert_close(lead, led.clamp_min(gap))
        kept = (led >= gap).unsqueeze(-1).expand_as(own)
        torch.testing.assert_close(own[kept], before[kept])


@both_types
@pytest.mark.parametrize("classes", [2, 3])
def test_the_hard_z_is_the_first_of_the_largest_logits(classes: int, dtype: torch.dtype) -> None:
    """Of whole numbers, so that many tie; two classes have code of their own."""
    perturbed = torch.randint(0, 3, (4, 50, 5, classes), generator=seeded()).to(dtype)
    z = Categorical(perturbed[0]).harden(perturbed)
    assert z.dtype == dtype and torch.equal(z.sum(-1), torch.ones_like(z[..., 0]))
    assert torch.equal(z.argmax(-1), perturbed.argmax(-1))
    assert (perturbed.amax(-1) == perturbed.amin(-1)).any()
