"""The posterior of two groups under an RBM: loss and bounds against enumeration, its estimators, and its steps."""

from __future__ import annotations

import itertools
from functools import cache, partial
from typing import Any

import pytest
import torch
from dvae_bench.bench.check.bias import ALPHA, examine, make
from dvae_bench.bench.run.runner import run_cells
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.latents import LatentSpec, expectation
from dvae_bench.estimators.names import Name, Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae import autoencoder
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.bounds import elbo_parts, importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.two_groups import TwoGroups
from tiny import Diary, grid, some_batches
from torch import Tensor
from torch.nn.functional import logsigmoid

LEFT, RIGHT, PIXELS = 2, 3, 12
Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million; the tests below look at fewer than 100 at fixed seeds."""
TOY = "rbm-bits:posterior_groups=2"


@cache
def model(kl: str = "analytic", **values: Any) -> TwoGroups:
    """Networks with one hidden layer, and an RBM that is far from uniform, in float64."""
    torch.manual_seed(0)
    rbm = partial(Boltzmann, LEFT, RIGHT, "exact")
    architecture = Architecture((LatentSpec.bernoulli(LEFT + RIGHT),), (7,))
    made = TwoGroups(architecture, LEFT, torch.rand(PIXELS), rbm, kl, demean=True, **values).double()
    with torch.no_grad():
        for parameter in (*made.prior_parameters(), *made.second.parameters()):
            parameter.normal_(0, 0.5)
    return made


def images(count: int = 3) -> Tensor:
    return torch.rand(count, PIXELS, generator=stream(0, "data"), dtype=torch.float64).round()


def log_bernoulli(z: Tensor, logits: Tensor) -> Tensor:
    return (z * logsigmoid(logits) + (1 - z) * logsigmoid(-logits)).sum(-1)


def joint(made: TwoGroups, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x, z) and log q(z given x) of all z, [2^5, images], written out."""
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LEFT + RIGHT)), dtype=torch.float64)
    b, w = made.boltzmann.parameters()
    scores = z @ b + torch.einsum("si,ij,sj->s", z[:, :LEFT], w, z[:, LEFT:])
    z, shifted = z.unsqueeze(1).expand(-1, len(x), -1), x - made.shift
    second = made.second(torch.cat([shifted.expand(len(z), -1, -1), z[..., :LEFT]], -1))
    log_q = log_bernoulli(z[..., :LEFT], made.encoder(shifted)) + log_bernoulli(z[..., LEFT:], second)
    return log_bernoulli(x, made.decoder(z)) + (scores - scores.logsumexp(0)).unsqueeze(-1), log_q


def elbo(made: TwoGroups, x: Tensor) -> Tensor:
    log_p, log_q = joint(made, x)
    return (log_q.exp() * (log_p - log_q)).sum(0)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
class TestModel:
    def test_the_loss_and_every_gradient_are_the_enumerated_ones(self, kl: str) -> None:
        made, x = model(kl), images()
        latent = made.latent(made.encode(x))
        regulariser = made.regulariser(latent)
        assert regulariser is not None and regulariser.shape == (3,)
        ours, exact = expectation(made.objective(x, latent, lower=[expectation]), latent) + regulariser, -elbo(made, x)
        torch.testing.assert_close(ours, exact)
        pairs = (torch.autograd.grad(loss.sum(), list(made.parameters())) for loss in (ours, exact))
        for mine, other in zip(*pairs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)
            assert other.abs().max() > 1e-3

    def test_elbo_is_unbiased_and_many_draws_reach_the_likelihood(self, kl: str) -> None:
        made, x = model(kl), images()
        with torch.no_grad():
            (log_joint, log_q), exact = joint(made, x), elbo(made, x)
        parts = elbo_parts(made, x.repeat(2000, 1), stream(0, "evaluation"))
        torch.testing.assert_close(parts["elbo"], -parts["reconstruction"] - parts["kl"])
        one = importance_weighted(made, x.repeat(2000, 1), 1, stream(0, "evaluation"))
        for draws in (parts["elbo"].view(2000, 3), one.view(2000, 3)):
            assert ((draws.mean(0) - exact) / (draws.std(0) / 2000**0.5)).abs().max() < Z_MAX
        many = importance_weighted(made, x, 5000, stream(0, "evaluation"))
        log_p = log_joint.logsumexp(0)
        error = (((2 * (log_joint - log_p) - log_q).exp().sum(0) - 1) / 5000).sqrt()
        assert (((many - log_p).exp() - 1).abs() < Z_MAX * error).all()
        assert (((exact - log_p).exp() - 1).abs() > Z_MAX * error).all(), "the ELBO would pass too"

    def test_a_warm_up_weighs_the_kl_and_nothing_else(self, kl: str) -> None:
        made, warmed, x = model(kl), model(kl, kl_warmup=4), images()
        warmed.load_state_dict(made.state_dict(), strict=False)
        latent = made.latent(made.encode(x))
        losses = []
        for steps in (0, 1, 4, 9):
            warmed.steps.fill_(steps)
            loss = expectation(warmed.objective(x, latent, lower=[expectation]), latent)
            losses.append(loss + warmed.regulariser(latent))
        torch.testing.assert_close(losses[1], losses[0] + (losses[2] - losses[0]) / 4)
        torch.testing.assert_close(losses[2], -elbo(made, x))
        torch.testing.assert_close(losses[3], losses[2])


def test_posterior_means_are_the_enumerated_ones() -> None:
    made, x, n = model(), images(), 20_000
    first, second = made.posterior_means(x, n, stream(0, "evaluation"))
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LEFT + RIGHT)), dtype=torch.float64)
    exact = torch.einsum("sx,si->xi", joint(made, x)[1].exp(), z)
    torch.testing.assert_close(first, exact[:, :LEFT])
    assert (second - exact[:, LEFT:]).abs().max() < Z_MAX * 0.5 / n**0.5


@pytest.mark.parametrize("name", ["reinforce", "rloo", "disarm", "rebar", "exact"])
def test_unbiased_estimators_are_unbiased_in_every_group(name: str) -> None:
    p = examine(ESTIMATORS.find(name).load(), {}, make(Name.parse(TOY))).p
    assert p.keys() == {"value", "cut", "prior", "decoder", "posterior"}
    assert not {group: chance for group, chance in p.items() if chance < ALPHA}


@pytest.mark.parametrize("name", ["straight-through", "gumbel-softmax", "dvaepp-exp"])
def test_biased_ones_are_found_biased(name: str) -> None:
    p = examine(ESTIMATORS.find(name).load(), {}, make(Name.parse(TOY))).p
    assert {"cut", "posterior"} <= {group for group, chance in p.items() if chance < ALPHA}


class TestMnist:
    VALUES = {"arch": "linear", "n": 12, "left": 4, "batch": 16, "prior": "rbm", "groups": 2}

    @pytest.mark.parametrize("name", ["disarm", "gumbel-softmax", "smoothing", "dvaepp-exp"])
    def test_a_step_descends_and_moves_every_parameter(self, name: str) -> None:
        task = MnistVae(**self.VALUES, lr=1e-2)
        assert task.layers == (LatentSpec.bernoulli(4), LatentSpec.bernoulli(8)) == task.model(0).layers
        step, batches = TrainStep(task, build(name, *task.layers), seed=0), some_batches(task, 4)
        before = {key: value.clone() for key, value in step.vae.state_dict().items()}
        losses = torch.stack([step(batches[k % 4]) for k in range(24)])
        fallen = (losses[:4] - losses[-4:]).flatten()  # of the same images
        assert fallen.mean() > Z_MAX * fallen.std() / len(fallen) ** 0.5
        moved = {key for key, value in step.vae.state_dict().items() if not torch.equal(value, before[key])}
        assert moved == before.keys() - {"boltzmann.known"}

    def test_a_cell_of_each_source_ends_well(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(autoencoder, "FINAL_CHAINS", 10)
        diary = Diary()
        task = "mnist-vae:" + ",".join(f"{key}={value}" for key, value in self.VALUES.items())
        run_cells(grid("disarm", "vimco", tasks=task), store, diary)
        ended = {(cell.estimator.family, status) for cell, (status, _) in diary.ended.items()}
        assert ended == {("disarm", "ok"), ("vimco", "unsupported")}
        metrics = set(store.rows()["metric"])
        assert {"log_z", "negative_ratio", "elbo_test", "iw_test", "bias_reference", "time_negative"} <= metrics

    def test_bounds_are_unsupported(self) -> None:
        made, x = model(), images()
        with pytest.raises(Unsupported, match="leave out groups=2"):
            made.objective(x, made.latent(made.encode(x)), bound=True)

    def test_bf16_reaches_all_three_networks(self) -> None:
        made = MnistVae(**self.VALUES).model(0)
        assert made.networks() == [made.encoder, made.decoder, made.second]
        own = {id(parameter) for parameter in made.inference_parameters()}
        assert own == {id(p) for network in (made.encoder, made.second) for p in network.parameters()}
