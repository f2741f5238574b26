"""The energy of bits given their smoothing: DVAE's left-right gradient and DVAE++'s cross-entropy, by quadrature.

One bit z₁ on the left: E over z₁ and ζ₁ of z₁ W μ₂(ζ₁) is a sum of two integrals, which the nodes of the smoothings'
own quadrature take to PRECISION; the wrong twins are at least thirty times as far off.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from dvae_bench.bench.sources.gradient import draw_gradient, model_problem
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, expectation
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.quadrature import nodes, uniform_of_bit
from dvae_bench.estimators.smoothing.overlapping import around
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.two_groups import TwoGroups
from tiny import some_batches
from torch import Tensor

PIXELS, PRECISION = 3, 1e-5
SPIKES = ["smoothing", "smoothing:f=f2", "smoothing:f=f2pp", "smoothing:f=f2p,beta=1.5"]
OVERLAPS = ["dvaepp-exp", "dvaepp-power:beta=8", "dvaes-gaussian", "dvaes-uniform-exp"]
StandIn = Callable[[Bernoulli, Tensor], Tensor]


def model() -> TwoGroups:
    torch.manual_seed(0)
    rbm = partial(Boltzmann, 1, 1, "exact")
    made = TwoGroups(Architecture((LatentSpec.bernoulli(2),)), 1, torch.rand(PIXELS), rbm).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def image() -> Tensor:
    return torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)


def loss_given(made: TwoGroups, latent: Bernoulli, z: Tensor, zeta: Tensor) -> Tensor:
    """f where the energy sees the bit z and all else ζ, written out: [n]."""
    x, second = image(), made.given(image(), zeta)
    p, (b, w) = second.probs, made.boltzmann.parameters()
    below = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    errors = [made.reconstruction(x, torch.cat([zeta, each.expand(len(zeta), 1)], -1)) for each in below]
    entropy = torch.special.entr(p) + torch.special.entr(1 - p)
    energy = -b[0] * z - b[1] * p - z * w[0, 0] * p
    return (1 - p[:, 0]) * errors[0] + p[:, 0] * errors[1] + (energy - entropy)[:, 0]


@pytest.fixture
def logit() -> Tensor:
    return torch.tensor([0.4], dtype=torch.float64, requires_grad=True)


class TestLeftRight:
    """ζ = 0 where z = 0; where z = 1, ζ = F(u) with u uniform, whatever p is. So E f = (1 - p) f(0, 0) + p ∫ f(1, F(u))
    du, whose derivative in φ needs no formula of DVAE's."""

    def exact(self, name: str, made: TwoGroups, logit: Tensor) -> Tensor:
        latent, (u, weight) = Bernoulli(logit), nodes(logit)
        one = build(name, latent.spec).smooth(Bernoulli(torch.full((1,), 40.0, dtype=torch.float64)), u.unsqueeze(-1))
        p, zeros = latent.probs, torch.zeros(1, 1, dtype=torch.float64)
        ends = loss_given(made, latent, zeros, zeros), loss_given(made, latent, torch.ones_like(one), one)
        value = (1 - p) * ends[0] + p * (weight @ ends[1])
        return torch.autograd.grad(value, logit)[0]

    def mean(self, name: str, made: TwoGroups, logit: Tensor, stand_in: StandIn | None = None) -> Tensor:
        """The mean gradient of the estimator, over ε on either side of 1 - p."""
        smoothing, (s, weight) = build(name, LatentSpec.bernoulli(1)), nodes(logit)
        p = logit.sigmoid().detach()
        eps = torch.cat([uniform_of_bit(z, s, p) for z in (0, 1)]).unsqueeze(-1)
        weights = torch.cat([(1 - p) * weight, p * weight])
        latent = Bernoulli(logit)
        f = made.objective(image(), latent, lower=[expectation], stand_in=stand_in or smoothing.stand_in)
        (gradient,) = torch.autograd.grad(weights @ f(smoothing.smooth(latent, eps)), logit)
        return gradient

    @pytest.mark.parametrize("name", SPIKES)
    def test_the_mean_gradient_is_exact(self, name: str, logit: Tensor) -> None:
        made = model()
        found, expected = self.mean(name, made, logit), self.exact(name, made, logit)
        torch.testing.assert_close(found, expected, rtol=PRECISION, atol=0)

    @pytest.mark.parametrize("twin", ["without the factor", "z alone", "ζ in place of z"])
    def test_wrong_twins_are_caught(self, twin: str, logit: Tensor) -> None:
        def stand_in(latent: Bernoulli, zeta: Tensor) -> Tensor:
            z = (zeta > 0).to(zeta)
            slope = (1 - z) * (latent.probs - latent.probs.detach())
            return {"without the factor": z + slope, "z alone": z, "ζ in place of z": zeta}[twin]

        made = model()
        found, expected = self.mean("smoothing", made, logit, stand_in), self.exact("smoothing", made, logit)
        assert abs(float(found - expected)) > 30 * PRECISION * abs(float(expected))

    def test_smoothings_without_a_spike_keep_their_own(self, logit: Tensor) -> None:
        zeta = torch.rand(3, 1, dtype=torch.float64)
        for name in ("f3", "f3p"):
            assert build(f"smoothing:f={name}", LatentSpec.bernoulli(1)).stand_in(Bernoulli(logit), zeta) is zeta


class TestCrossEntropy:
    def both(self, name: str, made: TwoGroups, logit: Tensor, stand_in: StandIn | None = None) -> list[list[Tensor]]:
        """E f and its derivative in φ, with the stand-in and with the bit itself."""
        smoothing, latent = build(name, LatentSpec.bernoulli(1)), Bernoulli(logit)
        s, weight = (part.unsqueeze(-1) for part in nodes(logit, smoothing.breaks))
        p = latent.probs
        zeta = torch.cat([around(z, smoothing.overlap(s).delta) for z in (0, 1)])
        z = torch.cat([torch.zeros_like(s), torch.ones_like(s)])
        weights = torch.cat([(1 - p) * weight, p * weight])[:, 0]
        f = made.objective(image(), latent, lower=[expectation], stand_in=stand_in or smoothing.stand_in)
        values = [weights @ f(zeta), weights @ loss_given(made, latent, z, zeta)]
        return [[value, torch.autograd.grad(value, logit, retain_graph=True)[0]] for value in values]

    @pytest.mark.parametrize("name", OVERLAPS)
    def test_it_is_the_mean_energy_of_the_bits(self, name: str, logit: Tensor) -> None:
        ours, exact = self.both(name, model(), logit)
        torch.testing.assert_close(ours, exact, rtol=PRECISION, atol=0)

    @pytest.mark.parametrize("twin", ["the mean of z", "ζ in place of ν"])
    @pytest.mark.parametrize("name", OVERLAPS)
    def test_without_nu_it_is_not(self, name: str, twin: str, logit: Tensor) -> None:
        def stand_in(latent: Bernoulli, zeta: Tensor) -> Tensor:
            return latent.probs.expand_as(zeta) if twin == "the mean of z" else zeta

        ours, exact = self.both(name, model(), logit, stand_in)
        assert abs(float(ours[1] - exact[1])) > 30 * PRECISION * abs(float(exact[1]))

    def test_infinitely_sharp_smoothings_stay_finite(self) -> None:
        """In float32 many ζ of the power smoothing are 0 or 1 to the last digit."""
        logits = torch.tensor([-20.0, 0.3, 20.0], requires_grad=True)
        for name in OVERLAPS:
            nu = build(name, LatentSpec.bernoulli(3)).stand_in(Bernoulli(logits), torch.tensor([[0.0], [1.0]]))
            (gradient,) = torch.autograd.grad(nu.sum(), logits)
            assert nu.isfinite().all() and gradient.isfinite().all()


class TestMnist:
    VALUES = {"arch": "linear", "n": 12, "left": 4, "batch": 16, "prior": "rbm", "groups": 2}

    @pytest.mark.parametrize("name", ["smoothing", "dvaepp-exp", "dvaepp-power", "rloo", "gumbel-softmax"])
    def test_the_step_takes_the_estimators_own(self, name: str) -> None:
        """Smoothings have another loss than with the relaxed energy, all others the same."""
        losses = []
        for energy in ("relaxed", "exact"):
            task = MnistVae(**self.VALUES, energy=energy)
            step = TrainStep(task, build(name, *task.layers), seed=0)
            with torch.no_grad():
                step.vae.boltzmann.weight.normal_(generator=torch.Generator().manual_seed(0))
            losses.append(step(some_batches(task, 1)[0]))
        assert torch.equal(*losses) == (name in ("rloo", "gumbel-softmax"))

    def test_it_is_of_two_groups_with_a_closed_kl(self) -> None:
        for values in ({"groups": 1}, {"kl": "sampled"}):
            with pytest.raises(UsageError, match="add groups=2 and kl=analytic"):
                MnistVae(**self.VALUES | values, energy="exact")

    def test_a_problem_passes_it_on(self) -> None:
        task = MnistVae(**self.VALUES, energy="exact")
        made, estimator = task.model(0), build("smoothing", *task.layers)
        problem = model_problem(made, some_batches(task, 1)[0])
        params = torch.zeros(16, 4, requires_grad=True)
        drawn = draw_gradient(problem, estimator, params, stream(0, "sample"), estimator.lower(stream(0, "lower")))
        assert drawn.loss.isfinite().all()
