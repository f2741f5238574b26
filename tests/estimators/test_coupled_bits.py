"""Coupled estimators for bits: expectations and variances by exact summation over their noise.

u in (0, 1)^D is cut at min(p, 1 - p) and max(p, 1 - p). On each cell z is constant and gradients are linear in u, so
two Gauss-Legendre nodes a cell and bit give first and second moments exactly. Tolerances are float64 rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.coupled import pairs
from dvae_bench.estimators.coupled.ar import AugmentReinforce
from dvae_bench.estimators.coupled.arm import Arm
from dvae_bench.estimators.coupled.arms import Arms
from dvae_bench.estimators.coupled.bitflip import Bitflip, Flipped
from dvae_bench.estimators.coupled.disarm import Disarm
from dvae_bench.estimators.coupled.tugc import Pairs as TugcPairs
from dvae_bench.estimators.coupled.tugc import Tugc
from dvae_bench.estimators.coupled.ugc import Pairs as UgcPairs
from dvae_bench.estimators.coupled.ugc import Ugc
from dvae_bench.estimators.latents import Bernoulli, Categorical, Latent, Objective, expectation
from scipy import integrate, stats
from torch import Tensor

LOGITS = torch.tensor([-2.6, 0.4, 3.3], dtype=torch.float64)
BITS = len(LOGITS)
FALSE_ALARM = 1e-6


def table(seed: int, bits: int = BITS) -> Tensor:
    return torch.randn((2,) * bits, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lookup(values: Tensor) -> Objective:
    return lambda z: values[tuple(z.long().unbind(-1))]


def exact(values: Tensor, logits: Tensor = LOGITS) -> tuple[Tensor, Tensor]:
    """E f and its gradient."""
    leaf = logits.clone().requires_grad_()
    value = expectation(lookup(values), Bernoulli(leaf))
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def product(choices: list[Tensor]) -> Tensor:
    """Every combination of one element of each, [combinations, len(choices)]."""
    return torch.cartesian_prod(*choices).view(-1, len(choices))


def noise_grid(logits: Tensor = LOGITS) -> tuple[Tensor, Tensor]:
    """Nodes u [rows, D] and their weights [rows]."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(2))
    low = (-logits.abs()).sigmoid()
    start = torch.stack([0 * low, low, 1 - low])
    width = torch.stack([low, 1 - 2 * low, low])
    u = (start.unsqueeze(-1) + width.unsqueeze(-1) * (1 + nodes) / 2).permute(1, 0, 2).flatten(1)
    w = (width.unsqueeze(-1) * weights / 2).permute(1, 0, 2).flatten(1)
    return product(list(u)), product(list(w)).prod(-1)


def moments(estimator: Estimator, draw: object, weights: Tensor, f: Objective, logits: Tensor = LOGITS) -> list[Tensor]:
    """Means of the value and of the gradient, and the gradient's variance."""
    latent = Bernoulli(logits.expand(len(weights), -1))
    estimate: Estimate = estimator.gradient(f, latent, draw)
    assert estimate.grad is not None
    mean = weights @ estimate.grad
    return [weights @ estimate.value, mean, weights @ estimate.grad.square() - mean.square()]


def from_noise(cls: type[Estimator], u: Tensor) -> Tensor:
    """The draw that an estimator makes of u ~ U(0, 1)^D."""
    latent = Bernoulli(LOGITS.expand_as(u))
    return {AugmentReinforce: lambda: -torch.logit(u).unsqueeze(0), Arm: lambda: u}.get(
        cls, lambda: pairs.antithetic(latent, u)
    )()


def over_noise(cls: type[Estimator], f: Objective) -> list[Tensor]:
    u, weights = noise_grid()
    return moments(cls(Bernoulli(LOGITS).spec), from_noise(cls, u), weights, f)


def flips(logits: Tensor = LOGITS) -> tuple[Tensor, Tensor, Tensor]:
    """Every z [rows, D] with every chosen bit, a mask, and the probability of z."""
    bits = len(logits)
    z = Bernoulli(logits).support()
    q = Bernoulli(logits).log_prob(z).exp()
    chosen = torch.eye(bits, dtype=torch.bool).repeat(len(z), 1)
    return z.repeat_interleave(bits, 0), chosen, q.repeat_interleave(bits)


def over_flips(f: Objective) -> list[Tensor]:
    z, chosen, q = flips()
    return moments(Bitflip(Bernoulli(LOGITS).spec), Flipped(pairs.flip(z, chosen), chosen), q / BITS, f)


def over_both(cls: type[Ugc] | type[Tugc], f: Objective, logits: Tensor = LOGITS) -> list[Tensor]:
    """Moments over all twins and, apart from them, all flips."""
    u, u_weights = noise_grid(logits)
    z, chosen, q = flips(logits)
    rows = list(itertools.product(range(len(u)), range(len(z))))
    left, right = torch.tensor(rows).T
    u, z, chosen = u[left], z[right], chosen[right]
    weights = u_weights[left] * q[right]
    four = torch.cat([pairs.antithetic(Bernoulli(logits.expand_as(u)), u), pairs.flip(z, chosen)])
    smaller = (-logits.abs()).sigmoid()
    certain = smaller < 1 / (2 * torch.arange(1, len(logits) + 1)[smaller.argsort().argsort()])
    if cls is Ugc:
        return moments(cls(Bernoulli(logits).spec), UgcPairs(four, chosen), weights / len(logits), f, logits)
    allowed = certain if certain.any() else smaller == smaller.min()
    weights = weights * (chosen & allowed).any(-1) / allowed.sum()
    draw = TugcPairs(four, chosen, certain.expand_as(chosen))
    return moments(cls(Bernoulli(logits).spec), draw, weights, f, logits)


MOMENTS: dict[str, Callable[[Objective], list[Tensor]]] = {
    "ar": lambda f: over_noise(AugmentReinforce, f),
    "arm": lambda f: over_noise(Arm, f),
    "disarm": lambda f: over_noise(Disarm, f),
    "bitflip": over_flips,
    "ugc": lambda f: over_both(Ugc, f),
    "tugc": lambda f: over_both(Tugc, f),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_expectations_are_exact(name: str) -> None:
    values = table(0).requires_grad_()
    value, gradient, _ = MOMENTS[name](lookup(values))
    exact_value, exact_gradient = exact(values.detach())
    torch.testing.assert_close(value.detach(), exact_value)
    torch.testing.assert_close(gradient, exact_gradient)
    (decoder,) = torch.autograd.grad(value, values)
    latent = Bernoulli(LOGITS)
    q = latent.log_prob(latent.support()).exp()
    torch.testing.assert_close(lookup(decoder)(latent.support()), q)


@pytest.mark.parametrize("seed", range(5))
def test_each_merging_step_cannot_raise_the_variance(seed: int) -> None:
    """ARM averages AR over u and 1 - u; DisARM is ARM's mean given the twins; REINFORCE is AR's mean given b."""
    f = lookup(table(seed))
    ar, arm, disarm = (over_noise(cls, f)[2] for cls in (AugmentReinforce, Arm, Disarm))
    z, q = Bernoulli(LOGITS).support(), Bernoulli(LOGITS).log_prob(Bernoulli(LOGITS).support()).exp()
    reinforce = f(z).unsqueeze(-1) * Bernoulli(LOGITS).score(z)
    reinforce = q @ reinforce.square() - (q @ reinforce).square()
    for smaller, larger in ((disarm, arm), (arm, ar), (reinforce, ar)):
        assert (smaller <= larger * (1 + 1e-12)).all()
    assert (disarm < 0.99 * arm).any()


def test_disarm_is_the_mean_of_arm_given_the_twins() -> None:
    u, weights = noise_grid()
    latent, f = Bernoulli(LOGITS.expand_as(u)), lookup(table(0))
    arm, disarm = (cls(Bernoulli(LOGITS).spec).gradient(f, latent, from_noise(cls, u)).grad for cls in (Arm, Disarm))
    cells = (3, 2) * BITS
    inner = tuple(range(1, 2 * BITS, 2))
    weights = weights.view(*cells, 1)
    mean = (weights * arm.view(*cells, BITS)).sum(inner) / weights.sum(inner)
    torch.testing.assert_close(mean, disarm.view(*cells, BITS).mean(inner))


def test_two_classes_are_a_bit() -> None:
    """AR on a site of two classes with logits (φ, 0) is AR on the bit, and minus that for the second class."""
    logits = torch.randn(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    latent: Latent = Categorical(torch.stack([logits, torch.zeros_like(logits)], -1))
    noise = latent.noise(1, torch.Generator().manual_seed(1))
    weight = torch.tensor([0.3, 1.7], dtype=torch.float64)
    two = AugmentReinforce(latent.spec).gradient(lambda z: (z @ weight).sum(-1), latent, noise)
    bit = Bernoulli(logits)
    f: Objective = lambda z: (z * weight[0] + (1 - z) * weight[1]).sum(-1)  # noqa: E731
    one = AugmentReinforce(bit.spec).gradient(f, bit, noise[..., 0] - noise[..., 1])
    assert one.grad is not None
    torch.testing.assert_close(two.value, one.value)
    torch.testing.assert_close(two.grad, torch.stack([one.grad, -one.grad], -1))


@pytest.mark.parametrize(("cls", "logits"), [(Ugc, [-0.4, 0.2, 0.9]), (Tugc, [0.0, 0.0, 0.0])])
def test_bits_far_from_certain_leave_it_to_disarm(cls: type[Ugc] | type[Tugc], logits: list[float]) -> None:
    """UGC with every min(p, 1 - p) above 1/6. For tUGC the most certain bit is nearly certain unless all p are 1/2."""
    phi, f = torch.tensor(logits, dtype=torch.float64), lookup(table(1))
    u, weights = noise_grid(phi)
    twins = pairs.antithetic(Bernoulli(phi.expand_as(u)), u)
    disarm = moments(Disarm(Bernoulli(phi).spec), twins, weights, f, phi)
    torch.testing.assert_close(over_both(cls, f, phi), disarm)


def test_ugc_takes_each_bit_from_the_right_estimator() -> None:
    """p = (.069, .599, .964): below 1/6 the first and the last; ranked 2, 3 and 1, below 1/4 and 1/2 too: T = 2."""
    f = lookup(table(2))
    disarm, bitflip, ugc, tugc = (MOMENTS[name](f)[2] for name in ("disarm", "bitflip", "ugc", "tugc"))
    nearly_certain = torch.tensor([True, False, True])
    torch.testing.assert_close(ugc, torch.where(nearly_certain, bitflip, disarm))
    gradient = exact(table(2))[1]
    fewer = (bitflip + gradient.square()) * 2 / BITS - gradient.square()
    torch.testing.assert_close(tugc, torch.where(nearly_certain, fewer, disarm))


@pytest.mark.parametrize("seed", range(3))
def test_on_linear_f_ugc_clips_the_variance_of_disarm(seed: int) -> None:
    """E g² is D (p (1 - p) a_d)² for bitflip-1, at least ½ m (1 - m)² a_d² for DisARM: equal at m = 1/(2D)."""
    slope = torch.randn(BITS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    disarm, ugc, tugc = (MOMENTS[name](lambda z: z @ slope)[2] for name in ("disarm", "ugc", "tugc"))
    assert (ugc <= disarm * (1 + 1e-12)).all()
    assert (tugc <= ugc * (1 + 1e-12)).all()


@pytest.mark.parametrize("cls", [Bitflip, Ugc, Tugc])
def test_the_flipped_bit_is_uniform_where_it_may_be(cls: type[Estimator]) -> None:
    """Chi-square over the three bits, or the two nearly certain ones."""
    latent = Bernoulli(LOGITS.expand(20_000, -1))
    draw = cls(latent.spec).sample(latent, torch.Generator().manual_seed(0))
    assert (draw.chosen.sum(-1) == 1).all()
    counts = draw.chosen.sum(0)
    possible = torch.tensor([True, cls is not Tugc, True])
    assert (counts[~possible] == 0).all()
    assert stats.chisquare(counts[possible].numpy()).pvalue > FALSE_ALARM


def share_both_low(copula: str, n: int, low: float) -> float:
    """P(v_1 < m, v_2 < m), from the Dirichlet distribution or by integrating over one normal."""
    if copula == "dirichlet":
        edge = 1 - low ** (1 / (n - 1))
        return max(1 - 2 * edge, 0.0) ** (n - 1)
    t, rho = stats.norm.ppf(low), -1 / (n - 1)
    given = lambda x: stats.norm.pdf(x) * stats.norm.cdf((t - rho * x) / math.sqrt(1 - rho**2))  # noqa: E731
    return float(integrate.quad(given, -12, t, epsabs=1e-14, epsrel=1e-11)[0])


def joint(copula: str, n: int, p: float) -> Tensor:
    """P(b_1, ..., b_n) of one bit, [2, ..., 2].

    Dirichlet: P(k given ones are low) = max(1 - k a, 0)^(n-1), a = 1 - m^(1/(n-1)), and inclusion-exclusion. Gaussian
    with n = 3: the normals sum to zero, so that three low ones are impossible.
    """
    low = min(p, 1 - p)
    edge = 1 - low ** (1 / (n - 1))
    together = [1.0] + [max(1 - k * edge, 0.0) ** (n - 1) for k in range(1, n + 1)]
    if copula == "gaussian":
        together = [1.0, low, share_both_low(copula, n, low), 0.0]
    exactly = [sum((-1) ** j * math.comb(n - k, j) * together[k + j] for j in range(n - k + 1)) for k in range(n + 1)]
    law = torch.tensor([exactly[sum(bits)] for bits in itertools.product((0, 1), repeat=n)], dtype=torch.float64)
    return law.view((2,) * n) if p < 0.5 else law.flip(0).view((2,) * n)


ARMS = [("dirichlet", 2), ("dirichlet", 3), ("dirichlet", 4), ("gaussian", 3)]


@pytest.mark.parametrize(("copula", "n"), ARMS)
@pytest.mark.parametrize("logits", [(-0.7, 0.3), (-3.0, 1.2)])
def test_arms_is_exact_over_its_joint_distribution(copula: str, n: int, logits: tuple[float, float]) -> None:
    phi = torch.tensor(logits, dtype=torch.float64)
    values, codes = table(3, bits=2), torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * n)
    laws = [joint(copula, n, float(p)).flatten() for p in phi.sigmoid()]
    index = torch.cartesian_prod(torch.arange(len(codes)), torch.arange(len(codes)))
    draw = torch.stack([codes[index[:, 0]], codes[index[:, 1]]], -1).transpose(0, 1)
    weights = laws[0][index[:, 0]] * laws[1][index[:, 1]]
    arms = Arms(Bernoulli(phi).spec, n=n, copula=copula)
    value, gradient, _ = moments(arms, draw, weights, lookup(values), phi)
    exact_value, exact_gradient = exact(values, phi)
    torch.testing.assert_close(value, exact_value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, exact_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
@pytest.mark.parametrize("n", [2, 3, 4, 20])
def test_arms_draws_have_the_stated_distribution(copula: str, n: int) -> None:
    """P(b_1 = 1) and P(b_1 = b_2 = 1) of 30,000 draws, each within its binomial distribution."""
    logits, rows = torch.tensor([-2.0, -0.3, 0.0, 0.8, 4.0], dtype=torch.float64), 30_000
    latent = Bernoulli(logits.expand(rows, -1))
    b = Arms(latent.spec, n=n, copula=copula).sample(latent, torch.Generator().manual_seed(n))
    for d, p in enumerate(logits.sigmoid().tolist()):
        low = min(p, 1 - p)
        both = share_both_low(copula, n, low) if n > 2 else 0.0
        both += max(2 * p - 1, 0.0)
        for count, probability in ((b[0, :, d].sum(), p), ((b[0] * b[1])[:, d].sum(), both)):
            assert stats.binomtest(int(count), rows, min(max(probability, 0.0), 1.0)).pvalue > FALSE_ALARM


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
def test_arms_of_two_draws_is_disarm(copula: str) -> None:
    """Given the same pair the gradients agree, and the pair is antithetic: the rarer value never comes twice."""
    latent, f = Bernoulli(LOGITS.expand(2000, -1)), lookup(table(4))
    arms = Arms(latent.spec, n=2, copula=copula)
    draw = arms.sample(latent, torch.Generator().manual_seed(0))
    rare = draw == (LOGITS < 0)
    assert not (rare[0] & rare[1]).any()
    assert rare.any(0).any(0).all()
    expected = Disarm(latent.spec).gradient(f, latent, draw)
    torch.testing.assert_close(arms.gradient(f, latent, draw).grad, expected.grad)


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
def test_arms_of_many_draws_is_rloo(copula: str) -> None:
    """n exchangeable bits have correlations between -1/(n-1) and, here, 0: the factor is between 1 - 1/n and 1."""
    logits, n = torch.linspace(-6, 6, 61, dtype=torch.float64), 1000
    latent = Bernoulli(logits)
    draw = latent.sample(n, torch.Generator().manual_seed(0))
    f_z = draw @ torch.linspace(-1, 1, 61, dtype=torch.float64)
    rloo = ((f_z - f_z.mean()) / (n - 1)) @ latent.score(draw)
    arms = Arms(latent.spec, n=n, copula=copula).gradient(lambda z: f_z, latent, draw)
    assert arms.grad is not None
    torch.testing.assert_close(arms.grad, rloo, rtol=1 / n, atol=1e-14)


@pytest.mark.parametrize("n", [3, 4, 7])
def test_the_gaussian_factor_is_precise(n: int) -> None:
    """Against scipy's quadrature; at p = ½ in closed form, ¼ + arcsin(ρ) / 2π."""
    logits = torch.tensor([0.0, -0.4, 1.5, -4.0, 9.0], dtype=torch.float64)
    latent = Bernoulli(logits)
    draw = torch.stack([torch.ones_like(logits), *[torch.zeros_like(logits)] * (n - 1)])
    got = Arms(latent.spec, n=n, copula="gaussian").gradient(lambda z: z[..., 0], latent, draw).grad
    plain = (1 - 1 / n) / (n - 1) * (1 - 1 / n) + (n - 1) * (1 / n) / (n - 1) / n
    low = [min(p, 1 - p) for p in logits.sigmoid().tolist()]
    both = [share_both_low("gaussian", n, m) for m in low]
    assert both[0] == pytest.approx(0.25 + math.asin(-1 / (n - 1)) / (2 * math.pi), rel=1e-10)
    expected = [plain * m * (1 - m) / (m - b) for m, b in zip(low, both, strict=True)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)
