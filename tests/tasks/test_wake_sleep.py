"""Wake-sleep: the sleep phase against enumeration of every x and z of a model of six pixels, and the whole step."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import Any

import pytest
import torch
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.sources.training.trajectory import Trajectory
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.score_function.reinforce import Reinforce
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from dvae_bench.tasks.vae.model import Vae
from scipy.stats import t
from tiny import TRAINING
from torch import Generator, Tensor
from torch.nn.functional import linear, softplus
from torch.testing import assert_close

PIXELS, BITS, DEEPER = 6, 3, 2
ALPHA, BLOCKS, DREAMS = 1e-6, 100, 200
"""A right gradient fails once in a million; its mean is over so many blocks of so many dreams."""

Drawn = tuple[Tensor, list[Tensor]]


class PixelMeans(Vae):
    """Dreams of grey pixels in place of drawn ones."""

    def dream(self, n: int, generator: Generator | None) -> Drawn:
        _, z = super().dream(n, generator)
        return self.pixel_means(z[0]).detach(), z


class UniformPrior(Vae):
    """Dreams of uniform z, whatever the prior."""

    def dream(self, n: int, generator: Generator | None) -> Drawn:
        z = torch.rand(n, BITS, generator=generator, dtype=torch.float64).round()
        return torch.bernoulli(self.pixel_means(z).detach(), generator=generator), [
            z,
            *super().dream(n, generator)[1][1:],
        ]


class Apart(Vae):
    """x and z from two dreams."""

    def dream(self, n: int, generator: Generator | None) -> Drawn:
        return super().dream(n, generator)[0], super().dream(n, generator)[1]


class Awake(Vae):
    """z from q at the x of dreams: the wake phase's draws."""

    def dream(self, n: int, generator: Generator | None) -> Drawn:
        x, z = super().dream(n, generator)
        return x, [self.latent(self.encode(x)).sample(1, generator)[0], *z[1:]]


class TopAlone(Vae):
    """The first layer's -log q alone."""

    def sleep_loss(self, n: int, generator: Generator | None) -> Tensor:
        x, z = self.dream(n, generator)
        return -self.latent(self.encode(x)).log_prob(z[0].unsqueeze(0))[0]


def model(cls: type[Vae], *deeper: int, rbm: bool = False) -> Vae:
    """Weights and prior far from the start, so that nothing is uniform; the same for every class."""
    prior: dict[str, Any] = {"boltzmann": partial(Boltzmann, 1, BITS - 1, "exact")} if rbm else {"trained_prior": True}
    layers = tuple(LatentSpec.bernoulli(bits) for bits in (BITS, *deeper))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = cls(Architecture(layers), torch.full((PIXELS,), 0.5), **prior).double()
        for parameter in vae.parameters():
            torch.nn.init.normal_(parameter)
    return vae


def every(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=bits)), dtype=torch.float64)


def log_bernoulli(v: Tensor, logits: Tensor) -> Tensor:
    return (v * logits - softplus(logits)).sum(-1)


def exact(vae: Vae) -> Tensor:
    """The gradient of -Σ p(x, z) log q(z given x) in the parameters of q, written out."""
    x, z = every(PIXELS)[:, None, None], every(BITS)[:, None]
    encode, decode = ([*network.parameters()] for network in (vae.encoder, vae.decoder))
    log_q = log_bernoulli(z, linear(x, *encode))
    log_p = log_bernoulli(x, linear(z, *decode))
    if vae.boltzmann is not None:
        log_p = log_p + vae.boltzmann.neg_energy(every(BITS)).log_softmax(0).unsqueeze(-1)
    elif vae.deeper is None:
        assert vae.prior is not None
        log_p = log_p + log_bernoulli(z, vae.prior)
    else:
        last, prior = every(DEEPER), vae.deeper.prior
        encode, decode = ([*network.parameters()] for network in (vae.deeper.encoder, vae.deeper.decoder))
        assert prior is not None
        log_q = log_q + log_bernoulli(last, linear(z, *encode))
        log_p = log_p + log_bernoulli(z, linear(last, *decode)) + log_bernoulli(last, prior)
    probability = log_p.exp().detach()
    assert_close(probability.sum(), torch.ones((), dtype=torch.float64))
    return flat(-(probability * log_q).sum(), vae)


def flat(loss: Tensor, vae: Vae) -> Tensor:
    found = torch.autograd.grad(loss, vae.inference_parameters(), materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in found])


def is_exact(vae: Vae) -> bool:
    """Whether the mean gradient of the sleep loss is the exact one, by a t test of each coordinate."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([flat(vae.sleep_loss(DREAMS, generator).mean(), vae) for _ in range(BLOCKS)])
    wanted = exact(vae)
    far = (drawn.mean(0) - wanted).abs() > t.isf(ALPHA / 2 / len(wanted), BLOCKS - 1) * drawn.std(0) / BLOCKS**0.5
    assert wanted.count_nonzero() == len(wanted)
    return not far.any()


@pytest.mark.parametrize("deeper", [(), (DEEPER,)], ids=["one layer", "two layers"])
def test_the_sleep_phase_has_the_exact_gradient(deeper: tuple[int, ...]) -> None:
    assert is_exact(model(Vae, *deeper))


@pytest.mark.parametrize("twin", (PixelMeans, UniformPrior, Apart, Awake, TopAlone))
def test_wrong_sleep_phases_are_caught(twin: type[Vae]) -> None:
    assert not is_exact(model(twin, DEEPER))
    assert is_exact(model(twin)) == (twin is TopAlone)  # with one layer that is all of q


def test_the_sleep_phase_has_the_exact_gradient_under_an_rbm() -> None:
    assert is_exact(model(Vae, rbm=True))
    assert not is_exact(model(UniformPrior, rbm=True))


def test_dreams_reach_q_alone() -> None:
    vae = model(Vae, DEEPER)
    vae.sleep_loss(4, torch.Generator().manual_seed(0)).sum().backward()
    assert all(parameter.grad is None for parameter in vae.generative_parameters())
    named = {id(parameter) for parameter in (*vae.inference_parameters(), *vae.generative_parameters())}
    assert named == set(map(id, vae.parameters()))


def task(**values: Any) -> MnistVae:
    return MnistVae(**({"arch": "linear", "n": 5, "batch": 8, "rule": "wake-sleep"} | values))


def reinforce(task: MnistVae) -> Estimator:
    return Layers(Reinforce, {}, task, torch.device("cpu")).whole


@pytest.mark.parametrize("arch", ("linear", "two-layer-linear"))
@pytest.mark.parametrize("kl", ("analytic", "sampled"))
def test_a_step_trains_p_awake_and_q_asleep(arch: str, kl: str) -> None:
    both = task(arch=arch, kl=kl, prior="trainable")
    step, x = TrainStep(both, reinforce(both), seed=0), next(both.batches(stream(0, "data")))
    vae, whole, generator = both.model(0), reinforce(both).train(), stream(0, "sample")
    latent = vae.latent(vae.encode(x))
    value = whole(vae.objective(x, latent, lower=whole.lower(generator)), latent, generator)
    regulariser = vae.regulariser(latent)
    awake = value if regulariser is None else value + regulariser
    p = torch.autograd.grad(awake.mean(), vae.generative_parameters())
    asleep = vae.sleep_loss(8, generator)
    q = torch.autograd.grad(asleep.mean(), vae.inference_parameters())
    step(x)
    assert_close([each.grad for each in step.vae.generative_parameters()], list(p))
    assert_close([each.grad for each in step.vae.inference_parameters()], list(q))
    ordinary = TrainStep(task(arch=arch, kl=kl, prior="trainable", rule="gradient"), reinforce(both), seed=0)
    ordinary(x)
    assert_close([each.grad for each in ordinary.vae.generative_parameters()], list(p))
    assert not torch.allclose(next(ordinary.vae.encoder.parameters()).grad, q[0])  # type: ignore[arg-type]


def test_a_prior_with_a_rate_of_its_own_is_trained_awake() -> None:
    apart = task(prior="trainable", prior_lr=0.1)
    step = TrainStep(apart, reinforce(apart), seed=0)
    step(next(apart.batches(stream(0, "data"))))
    assert step.vae.prior.abs().sum() > 0 and step.vae.prior.grad is None  # type: ignore[union-attr]


def test_q_learns_asleep_and_a_run_resumes_to_the_same_bits() -> None:
    """-log q of 200 dreams of the untrained p falls by five standard errors in 40 steps."""
    asleep = task(lr=1e-2)
    run, again = (Trajectory(asleep, reinforce(asleep), 40, 0) for _ in range(2))
    first, dreams = asleep.model(0), torch.Generator().manual_seed(0)
    x, (z,) = first.dream(200, dreams)

    def surprise(vae: Any) -> Tensor:
        return -vae.latent(vae.encode(x)).log_prob(z.unsqueeze(0))[0]

    for step in range(1, 41):
        run.advance(step)
        if step == 20:
            again.load_state_dict(copy.deepcopy(run.state_dict()))
    fallen = surprise(first) - surprise(run.step_once.vae)
    assert fallen.mean() > 5 * fallen.std() / len(fallen) ** 0.5
    for step in range(21, 41):
        again.advance(step)
    assert all(
        torch.equal(*pair)
        for pair in zip(run.step_once.vae.parameters(), again.step_once.vae.parameters(), strict=True)
    )


def test_the_gradient_that_is_not_used_is_not_measured() -> None:
    asleep = task()
    point = train(asleep, reinforce(asleep), TRAINING, 0, lambda fraction: None)[-1]
    assert {"elbo_test", "iw_test", "var_ema"} <= point.metrics.keys()
    assert not {"var_cut", "var_encoder", "bias_reference"} & point.metrics.keys()


def test_a_model_without_a_distribution_of_images_does_not_dream() -> None:
    with pytest.raises(UsageError, match="rule=wake-sleep draws images"):
        task(likelihood="l2")
    with pytest.raises(Unsupported, match="VqVae has no distribution of x and z"):
        MnistVq(codes=4, width=2).model(0).sleep_loss(2, None)
