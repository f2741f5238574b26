"""The RBM against enumeration: energy, log Z and its gradient, draws, chains, and annealed importance sampling."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from annealed import log_mean_error, log_weights
from dvae_bench.bench.sources.streams import stream
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from torch import Tensor

Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million; the tests below look at fewer than 500 at fixed seeds."""
SIDES = [(3, 4), (4, 3), (1, 6)]


def rbm(left: int = 3, right: int = 4, scale: float = 1.0, **values: Any) -> Boltzmann:
    """An RBM with strong weights, in float64."""
    torch.manual_seed(0)
    made = Boltzmann(left, right, **values).double()
    with torch.no_grad():
        made.bias.normal_(0, scale)
        made.weight.normal_(0, scale)
    return made


def enumerated(machine: Boltzmann) -> tuple[np.ndarray, np.ndarray, float]:
    """Every z, its probability, and log Z, written out in numpy."""
    b, w = (parameter.detach().numpy() for parameter in machine.parameters())
    z = np.array(list(itertools.product([0.0, 1.0], repeat=len(b))))
    left = len(w)
    scores = z @ b + np.einsum("si,ij,sj->s", z[:, :left], w, z[:, left:])
    log_z = np.logaddexp.reduce(scores)
    return z, np.exp(scores - log_z), log_z


def moments(z: np.ndarray, p: np.ndarray, left: int) -> np.ndarray:
    """E z and E z₁ z₂ᵀ, flattened: the gradient of log Z."""
    return np.concatenate([p @ z, np.einsum("s,si,sj->ij", p, z[:, :left], z[:, left:]).ravel()])


def flat(gradients: tuple[Tensor, ...]) -> np.ndarray:
    return torch.cat([gradient.flatten() for gradient in gradients]).numpy()


def slopes(machine: Boltzmann, of: Tensor) -> np.ndarray:
    return flat(torch.autograd.grad(of, list(machine.parameters())))


@pytest.mark.parametrize(("left", "right"), SIDES)
class TestExact:
    def test_log_z_and_its_gradient_are_the_enumerated_ones(self, left: int, right: int) -> None:
        machine = rbm(left, right, negative="exact")
        z, p, log_z = enumerated(machine)
        found = machine.log_z()
        assert float(found.detach()) == pytest.approx(log_z, rel=1e-12)
        np.testing.assert_allclose(slopes(machine, found), moments(z, p, left), rtol=1e-12)

    def test_the_energy_is_that_of_the_sum(self, left: int, right: int) -> None:
        """And multilinear: its mean under independent bits is its value at their means."""
        machine = rbm(left, right)
        z, p, log_z = enumerated(machine)
        found = machine.neg_energy(torch.from_numpy(z)).detach().numpy()
        np.testing.assert_allclose(np.exp(found - log_z), p, rtol=1e-12)
        mean = torch.rand(left + right, dtype=torch.float64)
        q = np.prod(np.where(z == 1, mean.numpy(), 1 - mean.numpy()), axis=1)
        assert float(machine.neg_energy(mean).detach()) == pytest.approx(q @ found, rel=1e-12)

    def test_draws_have_the_exact_moments(self, left: int, right: int) -> None:
        machine, n = rbm(left, right), 20_000
        z, p, _ = enumerated(machine)
        draws = machine.sample(n, stream(0, "images")).numpy()
        own, exact = moments(draws, np.full(n, 1 / n), left), moments(z, p, left)
        assert (np.abs(own - exact) / np.sqrt(exact * (1 - exact) / n)).max() < Z_MAX

    def test_dreams_have_the_moments_of_chains_that_have_come_to_p(self, left: int, right: int) -> None:
        """Of as many chains as dreams, which are drawn among them: twice the variance. Chains of one state miss."""
        n = 20_000
        machine = rbm(left, right, chains=n)
        z, p, _ = enumerated(machine)
        one, two = machine.sample(n, stream(0, "images")).split((left, right), -1)
        assert machine.chains is not None
        for state, fits in ((one if left <= right else two, True), (torch.zeros_like(machine.chains), False)):
            machine.chains.copy_(state)
            own = moments(machine.dream(n, stream(0, "sample")).numpy(), np.full(n, 1 / n), left)
            exact = moments(z, p, left)
            assert ((np.abs(own - exact) / np.sqrt(2 * exact * (1 - exact) / n)).max() < Z_MAX) == fits

    def test_independent_draws_have_a_ratio_of_one(self, left: int, right: int) -> None:
        """The mean of a ratio is 1; one that ignores the weights between the sides is far off."""
        machine = rbm(left, right)
        draws = machine.sample(200 * 50, stream(0, "images"))
        sides = draws.split((left, right), -1)
        state = sides[0] if left <= right else sides[1]

        def score(states: Tensor) -> float:
            ratios = torch.stack([machine.negative_ratio(part) for part in states.split(50)])
            return float((ratios.mean() - 1) / (ratios.std() / len(ratios) ** 0.5))

        assert abs(score(state)) < Z_MAX < score(torch.rand_like(state).round())


def test_enumeration_in_blocks_is_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = rbm(4, 4)
    whole = machine.exact_log_z().detach(), machine.negative_ratio(machine.chains)
    monkeypatch.setattr("dvae_bench.tasks.vae.boltzmann.BLOCK", 3)
    torch.testing.assert_close((machine.exact_log_z().detach(), machine.negative_ratio(machine.chains)), whole)


class TestChains:
    def test_chains_converge_to_the_gradient(self) -> None:
        machine = rbm(3, 4, chains=20_000, sweeps=50)
        z, p, _ = enumerated(machine)
        machine.advance(stream(0, "sample"))
        exact, n = moments(z, p, 3), 20_000
        bound = Z_MAX * np.sqrt(exact * (1 - exact) / n)
        assert (np.abs(slopes(machine, machine.log_z()) - exact) < bound).all()
        with torch.no_grad():
            machine.weight.zero_()
        assert not (np.abs(slopes(machine, machine.log_z()) - exact) < bound).all(), "independent sides would pass too"

    def test_updating_both_sides_at_once_is_caught(self) -> None:
        """A wrong twin: each side drawn given the other's last state, which leaves p on either parity alone."""
        machine, n = rbm(3, 4, scale=2.0), 20_000
        generator = stream(0, "sample")
        with torch.no_grad():
            one, two = (torch.rand(n, size, generator=generator, dtype=torch.float64).round() for size in (3, 4))
            for _ in range(50):
                logits = machine.bias[:3] + two @ machine.weight.T, machine.bias[3:] + one @ machine.weight
                one, two = (torch.rand(a.shape, generator=generator).lt(a.sigmoid()).double() for a in logits)
        z, p, _ = enumerated(machine)
        exact = moments(z, p, 3)
        found = moments(torch.cat([one, two], -1).numpy(), np.full(n, 1 / n), 3)
        assert (np.abs(found - exact) / np.sqrt(exact * (1 - exact) / n)).max() > 2 * Z_MAX

    def test_the_value_is_the_last_known_one(self) -> None:
        machine = rbm(3, 4)
        machine.advance(stream(0, "sample"))
        assert float(machine.log_z().detach()) == pytest.approx(7 * math.log(2))
        found = machine.measure(10, stream(0, "evaluation"))
        assert set(found) == {"log_z", "negative_ratio"} and float(machine.log_z().detach()) == float(found["log_z"])
        assert float(found["log_z"]) == pytest.approx(enumerated(machine)[2], rel=1e-12)

    def test_exact_has_no_chains(self) -> None:
        machine = rbm(3, 4, negative="exact")
        machine.advance(None)
        assert set(machine.state_dict()) == {"bias", "weight", "known"}
        assert set(machine.measure(10, None)) == {"log_z"}


class TestAnnealing:
    """E Z_AIS = Z, and E 1/Z_reverse = 1/Z from exact draws, at any number of temperatures."""

    CHAINS, TEMPERATURES = 20_000, 5

    def test_both_ends_are_unbiased(self) -> None:
        machine = rbm(3, 4)
        log_z = enumerated(machine)[2]
        for seed, sign in ((0, 1.0), (1, -1.0)):
            draws = machine.sample(self.CHAINS, stream(seed, "images"))
            groups = [
                machine.ais(200, self.TEMPERATURES, stream(k, "evaluation"))
                if sign > 0
                else machine.reverse_ais(part, self.TEMPERATURES, stream(k, "evaluation"))
                for k, part in enumerate(draws.split(200))
            ]
            ratio = (sign * (torch.stack(groups) - log_z)).exp()
            assert abs(float(ratio.mean()) - 1) / float(ratio.std() / len(ratio) ** 0.5) < Z_MAX

    def test_the_two_ends_hold_log_z_between_them_and_meet_in_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine = rbm(3, 4)
        log_z = enumerated(machine)[2]
        ends = [
            (machine.ais(1, 1, stream(k, "sample")), machine.reverse_ais(draws, 1, stream(k, "sample")))
            for k, draws in enumerate(machine.sample(500, stream(0, "images")).split(1))
        ]
        below, above = (torch.stack(end) for end in zip(*ends, strict=True))
        errors = [float((end.mean() - log_z) / (end.std() / len(end) ** 0.5)) for end in (below, above)]
        assert errors[0] < -Z_MAX and errors[1] > Z_MAX
        weights = log_weights(monkeypatch)
        near = (
            machine.ais(1000, 300, stream(0, "sample")),
            machine.reverse_ais(machine.sample(1000, stream(0, "images")), 300, stream(0, "sample")),
        )
        for end, far, drawn in zip(near, (below, above), weights, strict=True):
            bound = Z_MAX * log_mean_error(drawn)
            assert abs(float(end) - log_z) < bound < abs(float(far.mean()) - log_z)

    def test_above_the_limit_log_z_is_annealed_with_its_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anneal(monkeypatch, 100)
        machine, weights = rbm(3, 4), log_weights(monkeypatch)
        found = machine.measure(500, stream(0, "evaluation"))
        assert set(found) == {"log_z", "log_z_gap", "negative_ratio"}
        errors = [log_mean_error(drawn) for drawn in weights]
        assert abs(float(found["log_z"]) - enumerated(machine)[2]) < Z_MAX * errors[0]
        assert abs(float(found["log_z_gap"])) < Z_MAX * math.hypot(*errors)
        assert float(machine.known) == float(found["log_z"])

    def test_the_gap_is_annealing_minus_reverse_annealing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anneal(monkeypatch, 20)
        machine, again = rbm(3, 4), stream(0, "evaluation")
        found = machine.measure(50, stream(0, "evaluation"))["log_z_gap"]
        below = machine.ais(50, 20, again)
        above = machine.reverse_ais(machine.sample(50, again), 20, again)
        assert torch.equal(found, below - above)

    def test_with_few_temperatures_the_mean_gap_is_below_zero(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anneal(monkeypatch, 1)
        machine = rbm(3, 4, negative="exact")
        gaps = torch.stack([machine.measure(1, stream(k, "evaluation"))["log_z_gap"] for k in range(120)])
        assert gaps.mean() / (gaps.std() / len(gaps) ** 0.5) < -Z_MAX

    @staticmethod
    def anneal(monkeypatch: pytest.MonkeyPatch, temperatures: int) -> None:
        """As with sides that are too large for enumeration."""
        for name, value in (("EVALUATED", 2), ("TEMPERATURES", temperatures), ("BURN_IN", 50)):
            monkeypatch.setattr(f"dvae_bench.tasks.vae.boltzmann.{name}", value)

    def test_long_gibbs_draws_have_the_exact_moments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anneal(monkeypatch, 1)
        machine, n = rbm(4, 3), 20_000
        z, p, _ = enumerated(machine)
        found = moments(machine.sample(n, stream(0, "images")).numpy(), np.full(n, 1 / n), 4)
        exact = moments(z, p, 4)
        assert (np.abs(found - exact) / np.sqrt(exact * (1 - exact) / n)).max() < Z_MAX
