"""The energy of bits given their smoothing: DVAE's left-right gradient and DVAE++'s cross-entropy, by quadrature.

One or two bits z₁ on the left: E over z₁ and ζ₁ of z₁ᵀ W μ₂(ζ₁) is a sum of integrals, which the nodes of the
smoothings' own quadrature take to PRECISION; the wrong twins are at least thirty times as far off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from dvae_bench.bench.sources.gradient import draw_gradient, model_problem
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators import quadrature
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, expectation
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.quadrature import nodes, uniform_of_bit
from dvae_bench.estimators.smoothing.overlapping import Draw, around
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


def model(left: int = 1) -> TwoGroups:
    """With as many bits on the right."""
    torch.manual_seed(0)
    rbm = partial(Boltzmann, left, left, "exact")
    made = TwoGroups(Architecture((LatentSpec.bernoulli(2 * left),)), left, torch.rand(PIXELS), rbm).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def image() -> Tensor:
    return torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)


def every(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=bits)), dtype=torch.float64)


def loss_given(made: TwoGroups, z: Tensor, zeta: Tensor) -> Tensor:
    """f where the energy sees the bits z and all else ζ, written out: both [n, left], [n]."""
    x, second = image(), made.given(image(), zeta)
    p, (b, w) = second.probs, made.boltzmann.parameters()
    left, right = w.shape
    error = sum(
        torch.where(below > 0, p, 1 - p).prod(-1)
        * made.reconstruction(x, torch.cat([zeta, below.expand(len(zeta), right)], -1))
        for below in every(right)
    )
    entropy = (torch.special.entr(p) + torch.special.entr(1 - p)).sum(-1)
    return error - z @ b[:left] - p @ b[left:] - torch.einsum("ni,ij,nj->n", z, w, p) - entropy


def points(latent: Bernoulli, breaks: tuple[float, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
    """Every z with every combination of nodes s, both [n, left], and their weights [n]: those of E over both."""
    (left,) = latent.spec.event_shape
    s, weight = nodes(latent.params, breaks)
    index = torch.cartesian_prod(*[torch.arange(len(s))] * left).view(-1, left)
    z, p = every(left), latent.probs
    q = torch.where(z > 0, p, 1 - p).prod(-1, keepdim=True)
    return (
        z.repeat_interleave(len(index), 0),
        s[index].repeat(len(z), 1),
        (q * weight[index].prod(-1)).flatten(),
    )


@pytest.fixture(params=[1, 2], ids=["one bit", "two bits"])
def latent(request: pytest.FixtureRequest) -> Bernoulli:
    return Bernoulli(torch.tensor([0.4, -0.7][: request.param], dtype=torch.float64, requires_grad=True))


def model_of(latent: Bernoulli) -> TwoGroups:
    return model(*latent.spec.event_shape)


def in_logits(value: Tensor, latent: Bernoulli) -> Tensor:
    return torch.autograd.grad(value, latent.params, retain_graph=True)[0]


def assert_far(found: Tensor, exact: Tensor) -> None:
    assert (found - exact).norm() > 30 * PRECISION * exact.norm()


class TestLeftRight:
    """ζ = 0 where z = 0; where z = 1, ζ = F(u) with u uniform, whatever p is. So E f is the sum over z of q(z) ∫ f(z,
    z F(u)) du, whose derivative in φ needs no formula of DVAE's."""

    def exact(self, name: str, made: TwoGroups, latent: Bernoulli) -> Tensor:
        z, u, weight = points(latent)
        one = build(name, latent.spec).smooth(Bernoulli(torch.full_like(latent.params, 40.0)), u)
        return in_logits(weight @ loss_given(made, z, z * one), latent)

    def mean(self, name: str, made: TwoGroups, latent: Bernoulli, stand_in: StandIn | None = None) -> Tensor:
        """The mean gradient of the estimator, over ε on either side of 1 - p."""
        smoothing, (z, s, weight) = build(name, latent.spec), points(latent)
        p = latent.probs.detach()
        eps = torch.where(z > 0, *(uniform_of_bit(bit, s, p) for bit in (1, 0)))
        f = made.objective(image(), latent, lower=[expectation], stand_in=stand_in or smoothing.stand_in)
        return in_logits(weight.detach() @ f(smoothing.smooth(latent, eps)), latent)

    @pytest.mark.parametrize("name", SPIKES)
    def test_the_mean_gradient_is_exact(self, name: str, latent: Bernoulli) -> None:
        made = model_of(latent)
        found, expected = self.mean(name, made, latent), self.exact(name, made, latent)
        torch.testing.assert_close(found, expected, rtol=PRECISION, atol=0)

    @pytest.mark.parametrize("twin", ["without the factor", "z alone", "ζ in place of z", "the factor of all bits"])
    def test_wrong_twins_are_caught(self, twin: str, latent: Bernoulli) -> None:
        def stand_in(latent: Bernoulli, zeta: Tensor) -> Tensor:
            z, p = (zeta > 0).to(zeta), latent.probs
            slope, off = (1 - z) * (p - p.detach()), 1 - p.detach()
            return {
                "without the factor": z + slope,
                "z alone": z,
                "ζ in place of z": zeta,
                "the factor of all bits": z + slope / off.prod(-1, keepdim=True),
            }[twin]

        made = model_of(latent)
        found, expected = self.mean("smoothing", made, latent, stand_in), self.exact("smoothing", made, latent)
        if twin == "the factor of all bits" and latent.params.numel() == 1:  # the right one
            torch.testing.assert_close(found, expected, rtol=PRECISION, atol=0)
        else:
            assert_far(found, expected)

    def test_smoothings_without_a_spike_keep_their_own(self, latent: Bernoulli) -> None:
        zeta = torch.rand(3, *latent.params.shape, dtype=torch.float64)
        for name in ("f3", "f3p"):
            assert build(f"smoothing:f={name}", latent.spec).stand_in(latent, zeta) is zeta


class TestCrossEntropy:
    def both(
        self, name: str, made: TwoGroups, latent: Bernoulli, stand_in: StandIn | None = None
    ) -> list[list[Tensor]]:
        """E f and its derivative in φ, with the stand-in and with the bits themselves."""
        smoothing = build(name, latent.spec)
        z, s, weight = points(latent, smoothing.breaks)
        zeta = around(z, smoothing.overlap(s).delta)
        f = made.objective(image(), latent, lower=[expectation], stand_in=stand_in or smoothing.stand_in)
        values = [weight @ f(zeta), weight @ loss_given(made, z, zeta)]
        return [[value, in_logits(value, latent)] for value in values]

    @pytest.mark.parametrize("name", OVERLAPS)
    def test_it_is_the_mean_energy_of_the_bits(self, name: str, latent: Bernoulli) -> None:
        ours, exact = self.both(name, model_of(latent), latent)
        torch.testing.assert_close(ours, exact, rtol=PRECISION, atol=0)

    @pytest.mark.parametrize("name", OVERLAPS)
    def test_the_mean_gradient_is_exact(self, name: str, latent: Bernoulli, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the estimator, whose ζ moves with φ."""
        monkeypatch.setattr(quadrature, "NODES", 121)  # its slope bends more than what the usual 57 are for
        smoothing, made = build(name, latent.spec), model_of(latent)
        z, s, weight = points(latent, smoothing.breaks)
        f = made.objective(image(), latent, lower=[expectation], stand_in=smoothing.stand_in)
        estimate = smoothing.gradient(f, Bernoulli(latent.params.expand_as(z)), Draw(z.unsqueeze(0), s.unsqueeze(0)))
        found = in_logits(weight.detach() @ estimate.value, latent)
        exact = in_logits(weight @ loss_given(made, z, around(z, smoothing.overlap(s).delta)), latent)
        torch.testing.assert_close(found, exact, rtol=PRECISION, atol=0)

    @pytest.mark.parametrize("twin", ["the mean of z", "ζ in place of ν"])
    @pytest.mark.parametrize("name", OVERLAPS)
    def test_without_nu_it_is_not(self, name: str, twin: str, latent: Bernoulli) -> None:
        def stand_in(latent: Bernoulli, zeta: Tensor) -> Tensor:
            return latent.probs.expand_as(zeta) if twin == "the mean of z" else zeta

        ours, exact = self.both(name, model_of(latent), latent, stand_in)
        assert_far(ours[1], exact[1])

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
