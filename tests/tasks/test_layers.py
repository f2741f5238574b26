"""VAEs of several stochastic layers: objective and bounds against enumeration, and which loss tunes which layer."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.sources.settings import TrainSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.basket import Basket
from dvae_bench.bench.sources.training.gradient_ema import GradientEma
from dvae_bench.bench.sources.training.logits_gradients import encoder_draws, logits_draws, reference_draws
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Estimate, Unsupported
from dvae_bench.estimators.costs import documented
from dvae_bench.estimators.latents import Bernoulli, LatentSpec
from dvae_bench.estimators.layered import Layered
from dvae_bench.tasks.vae.active_units import active_units
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.bounds import elbo_parts, importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from dvae_bench.tasks.vae.tiny_vae import TinyVae
from tiny import TRAINING
from torch import Tensor, nn

DEEPER = 3
Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million; the tests below look at fewer than 500 at fixed seeds."""


@functools.cache
def toy(kl: str = "analytic") -> TinyVae:
    return TinyVae("cpu", torch.float64, kl=kl, deeper=DEEPER)


def codes(bits: int) -> np.ndarray:
    return np.array(list(itertools.product([0.0, 1.0], repeat=bits)))


def log_bernoulli(z: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """log Π σ(logits)^z (1 - σ(logits))^(1 - z), written out."""
    return (z * logits - np.logaddexp(0, logits)).sum(-1)


class Enumerated:
    """log p(x, z₁, z₂) and log q(z₁, z₂ given x), [2^8, 2^DEEPER, images], in numpy."""

    def __init__(self, vae: Vae, x: Tensor) -> None:
        assert vae.deeper is not None
        networks = (vae.encoder, vae.decoder, vae.deeper.encoder, vae.deeper.decoder)
        (a, b, c, d) = ([p.detach().double().numpy() for p in network.parameters()] for network in networks)
        images, z1, z2 = x.double().numpy(), codes(8)[:, None, None], codes(DEEPER)[None, :, None]
        self.log_prior = log_bernoulli(z1, z2 @ d[0].T + d[1]) - DEEPER * math.log(2)
        self.log_q1 = log_bernoulli(z1, images @ a[0].T + a[1])
        self.log_q2 = log_bernoulli(z2, z1 @ c[0].T + c[1])
        self.log_joint = log_bernoulli(images, z1 @ b[0].T + b[1]) + self.log_prior
        self.log_q = self.log_q1 + self.log_q2

    @property
    def elbo(self) -> np.ndarray:
        return (np.exp(self.log_q) * (self.log_joint - self.log_q)).sum((0, 1))

    @property
    def log_likelihood(self) -> np.ndarray:
        return np.logaddexp.reduce(self.log_joint.reshape(-1, self.log_joint.shape[-1]))


@pytest.fixture(scope="module")
def enumerated() -> Enumerated:
    return Enumerated(toy().vae, toy().x)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_the_loss_is_the_negative_elbo(kl: str, enumerated: Enumerated) -> None:
    np.testing.assert_allclose(-toy(kl).exact()["value"].numpy(), enumerated.elbo, rtol=1e-10)


def test_both_ways_of_the_kl_have_one_gradient_in_every_group() -> None:
    """The scores that the sampled one leaves out have mean 0 in both layers."""
    one, other = toy("analytic").exact(), toy("sampled").exact()
    assert set(one) == {"value", "cut", "encoder", "decoder", "deeper-encoder", "deeper-decoder"}
    for group, exact in one.items():
        torch.testing.assert_close(other[group], exact, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
class TestBounds:
    REPEATS = 2000

    def score(self, draws: Tensor, exact: np.ndarray) -> float:
        draws = draws.double().view(self.REPEATS, -1)
        return float(((draws.mean(0) - torch.from_numpy(exact)) / (draws.std(0) / self.REPEATS**0.5)).abs().max())

    def test_elbo_is_unbiased(self, kl: str, enumerated: Enumerated) -> None:
        parts = elbo_parts(toy(kl).vae, toy(kl).x.repeat(self.REPEATS, 1), stream(0, "evaluation"))
        torch.testing.assert_close(parts["elbo"], -parts["reconstruction"] - parts["kl"])
        assert self.score(parts["elbo"], enumerated.elbo) < Z_MAX
        assert self.score(parts["elbo"], enumerated.elbo + 0.5) > Z_MAX, "half a nat would show"

    def test_weights_are_unbiased_for_the_likelihood_and_many_reach_it(self, kl: str, enumerated: Enumerated) -> None:
        """With q kept near the posterior by training, no weight is so large that 2000 would not show its mean."""
        vae, x, exact = toy(kl).vae, toy(kl).x, enumerated.log_likelihood
        one = importance_weighted(vae, x.repeat(self.REPEATS, 1), 1, stream(0, "evaluation"))
        assert self.score(one, enumerated.elbo) < Z_MAX, "of one draw it is the ELBO with its KL sampled"
        many = importance_weighted(vae, x, 10_000, stream(0, "evaluation"))
        np.testing.assert_allclose(many.numpy(), exact, atol=0.1)
        assert (exact - enumerated.elbo).max() > 0.5, "the ELBO would pass too"

    def test_training_descends_the_elbo(self, kl: str) -> None:
        """f + regulariser at the draws that the evaluation makes."""
        vae, x, one = toy(kl).vae, toy(kl).x, build("reinforce", *toy(kl).layers).eval()
        generator = stream(0, "evaluation")
        latent = vae.latent(vae.encode(x))
        loss = one(vae.objective(x, latent, lower=one.lower(generator)), latent, generator)
        regulariser = vae.regulariser(latent)
        assert (regulariser is None) == (kl == "sampled")
        loss = loss if regulariser is None else loss + regulariser
        torch.testing.assert_close(-loss.detach(), elbo_parts(vae, x, stream(0, "evaluation"))["elbo"])


def test_samples_are_of_the_marginal_prior(enumerated: Enumerated) -> None:
    n = 20_000
    z = toy().vae.sample_prior(n, stream(0, "images")).numpy()
    exact = np.exp(np.logaddexp.reduce(enumerated.log_prior[..., 0], axis=1))
    assert exact.sum() == pytest.approx(1)
    mean, second = exact @ codes(8), np.einsum("s,si,sj->ij", exact, codes(8), codes(8))
    for found, expected in ((z.mean(0), mean), (z.T @ z / n, second)):
        assert (np.abs(found - expected) / np.sqrt(expected * (1 - expected) / n)).max() < Z_MAX


def test_posterior_means_are_the_enumerated_ones(enumerated: Enumerated) -> None:
    """Of the second layer by draws of the first; a covariance of two such means knows no noise."""
    vae, x, n = toy().vae, toy().x, 20_000
    first, second = vae.posterior_means(x, n, stream(0, "evaluation"))
    weights = np.exp(enumerated.log_q)
    np.testing.assert_allclose(first.detach().numpy(), np.einsum("stx,si->xi", weights, codes(8)), rtol=1e-9)
    expected = np.einsum("stx,ti->xi", weights, codes(DEEPER))
    assert np.abs(second.detach().numpy() - expected).max() < Z_MAX * 0.5 / n**0.5
    noise = [torch.full((4000, 5), 0.5) + 0.2 * torch.randn(4000, 5, generator=stream(k, "data")) for k in range(2)]
    assert int(active_units(*noise)) == 0 and int(active_units(noise[0])) == 5


def test_logits_gradients_have_the_exact_mean(enumerated: Enumerated) -> None:
    """Means of `logits_draws` and of the reference against the exact one, which has the analytic part too."""
    vae, x = copy.deepcopy(toy().vae), toy().x
    params = vae.encode(x).detach().requires_grad_()
    latent = vae.latent(params)
    regulariser = vae.regulariser(latent)
    assert regulariser is not None
    exact = (toy().exact()["cut"] - torch.autograd.grad(regulariser.sum(), params)[0]) / len(x)
    draws = logits_draws(vae, build("disarm", *vae.layers).eval(), x, 2000, stream(0, "sample"))
    reference = reference_draws(vae, x, 512, stream(0, "sample"))
    assert reference is not None
    moving = (params.detach().abs() < 3).nonzero(as_tuple=True)
    assert len(moving[0]) > 8
    for found in (draws, reference):
        scores = (found.mean(0) - exact) / (found.std(0) / len(found) ** 0.5)
        assert scores[moving].abs().max() < Z_MAX
        assert (found.mean(0) / (found.std(0) / len(found) ** 0.5))[moving].abs().max() > Z_MAX, "0 would pass too"
    assert encoder_draws(vae, x, draws[:3]).shape == (3, 785 * 8)


def test_the_basket_measures_layers_and_refuses_bounds() -> None:
    settings = TrainSettings(variance_draws=16, reference_draws=64, basket_tuning=3, basket=("rebar", "vimco"))
    vae, x = copy.deepcopy(toy().vae).float(), toy().x.float()
    found = Basket(settings, vae.layers).measure(vae, x, stream(0, "basket"))
    assert set(found["rebar"]) == {"var_cut", "var_encoder", "bias_reference", "bias_encoder"}
    assert found["vimco"] == "vimco is a bound of one stochastic layer, but there are 2"


class TestLayered:
    SPECS = (LatentSpec.bernoulli(200), LatentSpec.bernoulli(200))

    def test_too_many_evaluations_are_refused(self) -> None:
        with pytest.raises(Unsupported, match="local-expectation of 2 layers evaluates f 201 x 201 times"):
            build("local-expectation", *self.SPECS)
        assert isinstance(build("rloo:n=4", *self.SPECS, self.SPECS[0], self.SPECS[0]), Layered)

    @pytest.mark.parametrize("name", ["rloo:n=4", "straight-through", "imle:tau=2.0", "sparsemax", "gumbel-softmax"])
    def test_its_facts_and_targets_are_those_of_its_top(self, name: str) -> None:
        """`.name` raised, so that an error that names the estimator was another error."""
        layers = build(name, LatentSpec.bernoulli(2), LatentSpec.bernoulli(3))
        assert isinstance(layers, Layered)
        facts = ("name", "aliases", "latents", "differentiates", "bound", "hyperparameters", "cost", "reference")
        for fact in (*facts, "formula", *layers.hyperparameters):
            assert getattr(layers, fact) == getattr(layers.top, fact), fact
        assert documented(layers) == documented(layers.top)
        assert layers.claim() == layers.top.claim() and layers.targets_expectation == layers.top.targets_expectation
        latent = Bernoulli(torch.tensor([0.3, -1.0]))
        for target in ("target", "relaxed_target"):
            both = (getattr(each, target) for each in (layers, layers.top))
            found, expected = (average(lambda z: z.square().sum(-1), latent) for average in both)
            assert (found is None and expected is None) or torch.equal(found, expected)

    def test_the_bound_of_one_layer_is_one(self) -> None:
        layers = Layered([build("vimco", LatentSpec.bernoulli(2))])
        assert layers.bound and layers.name == "vimco" and not layers.targets_expectation

    @pytest.mark.parametrize("name", ["rebar", "relax", "nvil", "simple-muprop", "double-cv"])
    def test_each_layer_is_tuned_on_its_own_loss_alone(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The gradient in each layer's parameters is that of the losses its own estimator answered, and is not 0."""
        vae, x = copy.deepcopy(toy().vae).float(), toy().x.float()
        layers = build(name, *vae.layers).train()
        assert isinstance(layers, Layered)
        answered: list[list[Tensor]] = [[], []]
        for losses, one in zip(answered, (layers.top, layers.deeper[0]), strict=True):
            monkeypatch.setattr(one, "gradient", functools.partial(kept, one.gradient, losses))
        latent, generator = vae.latent(vae.encode(x)), stream(0, "sample")
        total = layers.estimate(vae.objective(x, latent, lower=layers.lower(generator)), latent, generator).tuning_loss
        for losses, one in zip(answered, (layers.top, layers.deeper[0]), strict=True):
            own = sum(loss for loss in losses if loss.requires_grad)
            for found, expected in zip(*(slopes(loss, one) for loss in (total, own)), strict=True):
                torch.testing.assert_close(found, expected)
            assert any(slope.abs().max() > 0 for slope in slopes(total, one))

    def test_the_first_layer_moves_by_its_own_estimate(self) -> None:
        """nvil's normalisation averages its own tuning loss, not the sum."""
        vae, x = copy.deepcopy(toy().vae).float(), toy().x.float()
        alone, layers = build("nvil", vae.spec).train(), build("nvil", *vae.layers).train()
        assert isinstance(layers, Layered)
        alone.load_state_dict(layers.top.state_dict())
        latent, fixed = vae.latent(vae.encode(x)), stream(1, "lower")
        state = fixed.get_state()
        for estimator in (layers, alone):
            fixed.set_state(state)
            f = vae.objective(x, latent, lower=layers.lower(fixed))
            estimator.estimate(f, latent, stream(0, "sample"))
        for mine, theirs in zip(layers.top.buffers(), alone.buffers(), strict=True):
            assert torch.equal(mine, theirs)


def kept(gradient: Any, losses: list[Tensor], *given: Any) -> Estimate:
    estimate = gradient(*given)
    losses.append(estimate.tuning_loss)
    return estimate


def slopes(loss: Any, module: nn.Module) -> tuple[Tensor, ...]:
    parameters = list(module.parameters())
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)


class TestMnist:
    @pytest.mark.parametrize(
        ("arch", "layers", "widths"),
        [
            ("two-layer-linear", 2, [784, 200]),
            ("two-layer-nonlinear", 2, [784, 200, 200, 200]),
            ("three-layer-linear", 3, [784, 200]),
            ("four-layer-linear", 4, [784, 200]),
        ],
    )
    def test_every_layer_has_networks_of_the_stated_widths(self, arch: str, layers: int, widths: list[int]) -> None:
        task = MnistVae(arch=arch, prior="trainable", demean="yes")
        vae: Vae | None = task.model(0)
        assert task.layers == vae.layers == (LatentSpec.bernoulli(200),) * layers
        for layer in range(layers):
            assert vae is not None and (vae.prior is not None) == (layer == layers - 1)
            own = [784 if layer == 0 else 200, *widths[1:]]
            for network, expected in ((vae.encoder, own), (vae.decoder, own[::-1])):
                linear = [module for module in network if isinstance(module, nn.Linear)]
                assert [linear[0].in_features, *(module.out_features for module in linear)] == expected
            vae = vae.deeper
        assert vae is None

    @pytest.mark.parametrize("name", ["rloo", "rebar", "disarm", "gumbel-softmax", "straight-through"])
    def test_a_step_descends(self, name: str) -> None:
        task = MnistVae(arch="two-layer-linear", n=50, batch=16, lr=3e-4)
        step, data = TrainStep(task, build(name, *task.layers), seed=0), task.batches(stream(0, "data"))
        batches = list(itertools.islice(data, 4))
        losses = [float(step(batches[k % 4]).mean()) for k in range(60)]
        assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 1.5, "in nats, of about two hundred"

    @pytest.mark.parametrize("name", ["reinforce", "rebar"])
    def test_an_evaluation_measures_everything(self, name: str) -> None:
        task = MnistVae(arch="two-layer-linear", n=20, batch=16, kl="sampled", prior="trainable")
        *_, last = train(task, build(name, *task.layers), TRAINING, 0, lambda fraction: None)
        assert {"iw_test", "gap_test", "bias_reference", "var_cut", "var_encoder"} <= last.metrics.keys()
        assert 0 <= last.metrics["active_units_test"].value <= 40
        assert last.metrics["gap_test"].mean() > 0 and last.metrics["var_ema"].value > 0
        assert {kind: images.shape for kind, images in last.images.items()} == dict.fromkeys(
            ("original", "reconstruction", "sample"), (8, 784)
        )

    def test_the_moving_variance_is_of_all_of_q(self) -> None:
        vae = MnistVae(arch="three-layer-linear", n=5).model(0)
        sizes = [parameter.numel() for parameter in vae.inference_parameters()]
        assert sum(sizes) == 785 * 5 + 2 * 6 * 5
        assert sum(m.numel() for m in GradientEma(vae.inference_parameters()).mean) == sum(sizes)

    def test_four_layers_train_every_parameter(self) -> None:
        vae = Vae(Architecture((LatentSpec.bernoulli(6),) * 4), torch.rand(784), trained_prior=True)
        layers, x, generator = build("rloo", *vae.layers).train(), torch.rand(5, 784).round(), stream(0, "sample")
        latent = vae.latent(vae.encode(x))
        f, regulariser = vae.objective(x, latent, lower=layers.lower(generator)), vae.regulariser(latent)
        assert regulariser is not None
        (layers(f, latent, generator) + regulariser).mean().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in vae.parameters())
