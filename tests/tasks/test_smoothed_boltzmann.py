"""Densities of smoothed bits under a small restricted Boltzmann machine, against sums over every configuration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.gaussian_integral import log_gaussian_integral
from dvae_bench.tasks.vae.mean_field import mean_field, mean_field_marginal
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

ROWS, COLUMNS, STRENGTH = 4, 3, 4.0
EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=ROWS + COLUMNS)), dtype=torch.float64)

Density = Callable[[Tensor, Tensor, Tensor], Tensor]
"""ζ, b, W -> log Z + log p(ζ)."""


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def machine() -> tuple[Tensor, Tensor]:
    """b and W."""
    return normal(ROWS + COLUMNS, seed=1).requires_grad_(), normal(ROWS, COLUMNS, seed=2).requires_grad_()


def zetas(count: int = 20, spread: float = 0.5) -> Tensor:
    bits = (normal(count, ROWS + COLUMNS, seed=3) > 0).double()
    return (bits + spread * normal(count, ROWS + COLUMNS, seed=4)).requires_grad_()


def log_weight(bias: Tensor, weight: Tensor) -> Tensor:
    """b·z + z₁' W z₂ of every z."""
    return EVERY @ bias + ((EVERY[:, :ROWS] @ weight) * EVERY[:, ROWS:]).sum(-1)


def enumerated(zeta: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    zero = torch.zeros(ROWS, ROWS), torch.zeros(COLUMNS, COLUMNS)
    precision = torch.cat([torch.cat([zero[0], weight], 1), torch.cat([weight.mT, zero[1]], 1)])
    noise = MultivariateNormal(EVERY, precision_matrix=precision + STRENGTH * torch.eye(ROWS + COLUMNS))
    return (log_weight(bias, weight) + noise.log_prob(zeta.unsqueeze(-2))).logsumexp(-1)


def ours(zeta: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    return log_gaussian_integral(zeta, bias, weight, STRENGTH)


def without_the_diagonal(zeta: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """z' λ z is counted as 0, not λ Σ z."""
    return ours(zeta, bias + STRENGTH / 2, weight)


def of_independent_noise(zeta: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """The determinant of λ I in place of that of M."""
    values = torch.linalg.svdvals(weight)
    return ours(zeta, bias, weight) - (1 - (values / STRENGTH).square()).log().sum() / 2


def of_one_half(zeta: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """W counted half, as in 1/2 z' M z with W in one corner of M alone."""
    return ours(zeta, bias, weight / 2)


def compare(density: Density) -> None:
    """Values and gradients in ζ, b and W."""
    (bias, weight), zeta = machine(), zetas()
    pairs = density(zeta, bias, weight), enumerated(zeta, bias, weight)
    assert_close(*pairs)
    assert_close(*(torch.autograd.grad(each.sum(), (zeta, bias, weight)) for each in pairs))


def test_the_gaussian_integral_is_the_sum_over_every_z() -> None:
    compare(ours)


@pytest.mark.parametrize("twin", (without_the_diagonal, of_independent_noise, of_one_half))
def test_wrong_integrals_are_caught(twin: Density) -> None:
    with pytest.raises(AssertionError):
        compare(twin)


@pytest.mark.parametrize("short", (1e-3, 1.0, float("nan")))
def test_a_small_lambda_is_refused(short: float) -> None:
    bias, weight = machine()
    largest = float(torch.linalg.matrix_norm(weight.detach(), 2))
    assert log_gaussian_integral(zetas(), bias, weight, largest + 1e-3).isfinite().all()
    with pytest.raises(UsageError, match=rf"above the largest singular value of W, {largest:.4g}, .* raise lambda"):
        log_gaussian_integral(zetas(), bias, weight, largest - short)


def log_r(zeta: Tensor, beta: float) -> Tensor:
    """Of Gaussian noise with variance 1/β around each bit."""
    return torch.stack([Normal(bit, beta**-0.5).log_prob(zeta) for bit in (0.0, 1.0)])


def posterior(log_r: Tensor, bias: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ_z exp(-E(z)) r(ζ given z), and log p(z given ζ) of every z."""
    off, on = log_r.unsqueeze(-2)
    joint = log_weight(bias, weight) + (off + EVERY * (on - off)).sum(-1)
    return joint.logsumexp(-1), joint.log_softmax(-1)


def divergence(means: Tensor, log_p: Tensor) -> Tensor:
    """KL(μ || p), summed over every z."""
    m = means.unsqueeze(-2)
    log_q = torch.where(EVERY > 0, m, 1 - m).log().sum(-1)
    return (log_q.exp() * (log_q - log_p)).sum(-1)


@pytest.mark.parametrize("beta", (1.0, 4.0))
def test_the_mean_field_marginal_is_too_low_by_its_divergence_from_the_posterior(beta: float) -> None:
    bias, weight = machine()
    smoothed = log_r(zetas(spread=beta**-0.5), beta)
    exact, log_p = posterior(smoothed, bias, weight)
    field = bias + smoothed[1] - smoothed[0]
    for sweeps in (0, 1, 5):
        gap = divergence(mean_field(field, weight, sweeps), log_p)
        assert (gap > 0).all()
        assert_close(mean_field_marginal(smoothed, bias, weight, sweeps), exact - gap)
    with pytest.raises(AssertionError):  # the entropy of μ forgotten
        means = mean_field(field, weight, 5)
        entropy = (torch.special.entr(means) + torch.special.entr(1 - means)).sum(-1)
        assert_close(mean_field_marginal(smoothed, bias, weight, 5) - entropy, exact - gap)


def at_once(field: Tensor, weight: Tensor, sweeps: int) -> Tensor:
    """A wrong twin: both sides move at once."""
    means = torch.full_like(field, 0.5)
    for _ in range(sweeps):
        first, second = means.split((ROWS, COLUMNS), -1)
        means = (field + torch.cat([second @ weight.mT, first @ weight], -1)).sigmoid()
    return means


def rises(sweep: Callable[[Tensor, Tensor, int], Tensor]) -> bool:
    """Whether the divergence ever grows from one sweep to the next, beyond rounding."""
    bias, weight = machine()
    smoothed, strong = log_r(zetas(100), 1.0), -3 * weight.abs()
    log_p = posterior(smoothed, bias, strong)[1]
    gaps = torch.stack([divergence(sweep(bias + smoothed[1] - smoothed[0], strong, k), log_p) for k in range(8)])
    return bool((gaps.diff(dim=0) > 1e-12).any())


def test_no_sweep_raises_the_divergence() -> None:
    assert not rises(mean_field)
    assert rises(at_once)


def slope_error(sweeps: int) -> float:
    """The largest relative error of the gradient in W, with μ held constant, against central differences."""
    (bias, weight), smoothed = machine(), log_r(zetas().detach(), 4.0)
    (found,) = torch.autograd.grad(mean_field_marginal(smoothed, bias, weight, sweeps).sum(), weight)

    @torch.no_grad()
    def value(moved: Tensor) -> float:
        return float(mean_field_marginal(smoothed, bias, moved, sweeps).sum())

    steps = 1e-4 * torch.eye(weight.numel(), dtype=torch.float64).view(-1, ROWS, COLUMNS)
    wanted = torch.tensor([(value(weight + step) - value(weight - step)) / 2e-4 for step in steps]).view_as(found)
    return float((found.detach() - wanted).abs().max() / wanted.abs().max())


def test_the_means_need_no_gradient_at_their_fixed_point() -> None:
    """Central differences err by about 1e-8; after one sweep the means still have a slope."""
    assert slope_error(200) < 1e-6 < slope_error(1)
