"""Structured prediction: objective and bounds against enumeration in numpy, wrong models that fail, and training."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.basket import Basket
from dvae_bench.bench.sources.training.logits_gradients import logits_draws, reference_draws
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Lower
from dvae_bench.estimators.latents import Bernoulli, Latent, LatentSpec, Objective, expectation
from dvae_bench.tasks.vae.bounds import importance_weighted
from dvae_bench.tasks.vae.mnist_half import MnistHalf
from dvae_bench.tasks.vae.structured import StructuredPrediction
from dvae_bench.tasks.vae.tiny_half import LAYERS, TinyHalf
from tiny import TRAINING
from torch import Tensor, nn

TRAINING_BASKET = replace(TRAINING, variance_draws=16, reference_draws=64, basket=("rebar", "vimco"))

Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million; the tests below look at fewer than 100 at fixed seeds."""
PIXELS, UPPER = 6, 2


@functools.cache
def toy(latents: str = "bits") -> TinyHalf:
    return TinyHalf("cpu", torch.float64, latents=latents)


def small(layers: int = 2, **values: Any) -> tuple[StructuredPrediction, Tensor]:
    """An untrained model of 2 + 4 pixels, with 3 bits, then 2, then 1, and five images."""
    torch.manual_seed(0)
    specs = [LatentSpec.bernoulli(bits) for bits in (3, 2, 1)[:layers]]
    model, x = StructuredPrediction(specs, torch.rand(PIXELS), UPPER, **values).double(), torch.rand(5, PIXELS).round()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model, x.double()


def configurations(spec: LatentSpec) -> np.ndarray:
    """Every z of bits or of one-hot sites, flat, [configurations, numbers]."""
    if spec.kind == "bernoulli":
        return np.array(list(itertools.product([0.0, 1.0], repeat=spec.event_shape[0])))
    sites, classes = spec.event_shape
    return np.array([np.concatenate(choice) for choice in itertools.product(np.eye(classes), repeat=sites)])


def log_prob(z: np.ndarray, params: np.ndarray, spec: LatentSpec) -> np.ndarray:
    if spec.kind == "bernoulli":
        return (z * params - np.logaddexp(0, params)).sum(-1)
    sites = params.reshape(*params.shape[:-1], *spec.event_shape)
    log_p = sites - np.logaddexp.reduce(sites, -1, keepdims=True)
    return (z * log_p.reshape(params.shape)).sum(-1)


class Enumerated:
    """log p(z₁, z₂, ... given x) and log p(y given z_L), [configurations of all layers, images], in numpy."""

    def __init__(self, model: StructuredPrediction, x: Tensor, signs: bool = False) -> None:
        networks = [model.encoder, *model.decoder]
        weights = [[p.detach().double().numpy() for p in network.parameters()] for network in networks]
        images = x.double().numpy()
        read: Any = [images[:, : model.upper]]
        self.log_q, log_p = np.zeros((1, len(images))), np.zeros(())
        for (weight, bias), spec in zip(weights, [*model.layers, None], strict=True):
            values = 2 * read[-1] - 1 if signs else read[-1]
            params = values @ weight.T + bias
            if spec is None:
                y = images[:, model.upper :]
                log_p = (y * params[:, None] - np.logaddexp(0, params[:, None])).sum(-1)
                continue
            z = configurations(spec)
            own = log_prob(z[:, None], params[None], spec)  # [own configurations, images or those of the layer before]
            if len(read) == 1:
                self.log_q = own
            else:
                before = self.log_q.reshape(-1, own.shape[1], len(images))
                self.log_q = (before[:, :, None] + own.T[None, :, :, None]).reshape(-1, len(images))
            read.append(z)
        self.log_p = np.tile(log_p, (len(self.log_q) // len(log_p), 1))

    @property
    def loss(self) -> np.ndarray:
        return -(np.exp(self.log_q) * self.log_p).sum(0)

    @property
    def log_likelihood(self) -> np.ndarray:
        return np.logaddexp.reduce(self.log_q + self.log_p)

    def error(self, draws: int) -> np.ndarray:
        """The standard error of the logarithm of the average of so many weights."""
        weights = np.exp(self.log_p - self.log_likelihood)
        return np.sqrt(((np.exp(self.log_q) * weights**2).sum(0) - 1) / draws)


def loss(model: StructuredPrediction, x: Tensor) -> np.ndarray:
    latent = model.latent(model.encode(x))
    f = model.objective(x, latent, lower=[expectation] * (len(model.layers) - 1))
    return expectation(f, latent).detach().numpy()


class TestEnumeration:
    @pytest.mark.parametrize("latents", LAYERS)
    def test_the_toy_is_the_enumerated_loss(self, latents: str) -> None:
        enumerated = Enumerated(toy(latents).model, toy(latents).x, signs=True)
        np.testing.assert_allclose(np.exp(enumerated.log_q).sum(0), 1)
        np.testing.assert_allclose(toy(latents).exact()["value"].numpy(), enumerated.loss, rtol=1e-10)
        mean = MnistHalf().data_mean.double()
        untrained = StructuredPrediction(LAYERS[latents], mean, 392, signs=True).double()
        assert enumerated.loss.mean() < loss(untrained, toy(latents).x).mean() - 2

    @pytest.mark.parametrize("latents", LAYERS)
    def test_every_group_has_the_gradient_of_the_enumerated_loss(self, latents: str) -> None:
        """By central differences along one direction of each group."""
        exact, step = toy(latents).exact(), 1e-5
        for name, group in toy(latents).groups().items():
            direction = [torch.randn(p.shape, generator=stream(0, name), dtype=p.dtype) for p in group]
            losses = []
            for sign in (1, -1):
                moved = TinyHalf("cpu", torch.float64, latents=latents)
                with torch.no_grad():
                    for p, d in zip(moved.groups()[name], direction, strict=True):
                        p.add_(d, alpha=sign * step)
                losses.append(Enumerated(moved.model, moved.x, signs=True).loss.sum())
            slope = float(exact[name] @ torch.cat([d.flatten() for d in direction]))
            assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=1e-5) and abs(slope) > 0.1

    @pytest.mark.parametrize("layers", [2, 3])
    @pytest.mark.parametrize("signs", [False, True])
    def test_layers_and_signs(self, layers: int, signs: bool) -> None:
        model, x = small(layers, signs=signs)
        np.testing.assert_allclose(loss(model, x), Enumerated(model, x, signs).loss)
        assert not np.allclose(loss(model, x), Enumerated(model, x, not signs).loss)


class WrongHalf(StructuredPrediction):
    """The lower half is read, too."""

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x.flip(-1))


class WholeImage(StructuredPrediction):
    """The mean over pixels, as a binary cross-entropy with its default reduction gives."""

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        return super().reconstruction(x, z) / x.shape[-1]


class MeanField(StructuredPrediction):
    """The layer below is drawn given the mean of the first, not given its draw."""

    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        right = super().objective(x, latent, bound, lower)
        return lambda z: right(latent.mean.expand_as(z))


class MeanOfLogs(StructuredPrediction):
    """The average of the logarithms in place of the logarithm of the average."""

    def log_weight(self, x: Tensor, latent: Latent, generator: Any = None) -> Objective:
        right = super().log_weight(x, latent, generator)
        return lambda z: right(z).mean(0, keepdim=True).expand(len(z), -1)


class NoDrawBelow(StructuredPrediction):
    """The bound passes on the mean of the second layer."""

    def last(self, z: Tensor, generator: Any) -> Tensor:
        return self.following(z, 0).mean


@pytest.mark.parametrize("twin", [WrongHalf, WholeImage, MeanField])
def test_a_wrong_loss_is_caught(twin: type[StructuredPrediction]) -> None:
    model, x = small()
    expected = Enumerated(model, x).loss
    np.testing.assert_allclose(loss(model, x), expected)
    model.__class__ = twin
    assert not np.allclose(loss(model, x), expected, rtol=1e-3)


class TestBounds:
    REPEATS = 4000

    def score(self, model: StructuredPrediction, x: Tensor, exact: np.ndarray, average: Any = np.mean) -> float:
        """The largest deviation of the average over repeats from the exact one, in standard errors."""
        with torch.no_grad():
            weights = importance_weighted(model, x.repeat(self.REPEATS, 1), 1, stream(0, "evaluation"))
        draws = average(weights.view(self.REPEATS, -1).numpy())
        return float((np.abs(draws.mean(0) - exact) / (draws.std(0) / self.REPEATS**0.5)).max())

    def test_one_draw_gives_the_loss_and_its_exponential_the_likelihood(self) -> None:
        model, x = small()
        enumerated = Enumerated(model, x)
        assert self.score(model, x, -enumerated.loss, lambda w: w) < Z_MAX
        assert self.score(model, x, np.exp(enumerated.log_likelihood), np.exp) < Z_MAX
        assert self.score(model, x, -enumerated.loss + 0.1, lambda w: w) > Z_MAX, "a tenth of a nat would show"

    @pytest.mark.parametrize("latents", LAYERS)
    def test_many_draws_reach_the_likelihood(self, latents: str) -> None:
        """Within five times the standard error of the logarithm of an average of weights."""
        enumerated = Enumerated(toy(latents).model, toy(latents).x, signs=True)
        exact, n = enumerated.log_likelihood, 4000
        many = importance_weighted(toy(latents).model, toy(latents).x, n, stream(0, "evaluation")).numpy()
        assert (np.abs(many - exact) < Z_MAX * enumerated.error(n)).all()
        assert (np.abs(enumerated.loss + exact) > Z_MAX * enumerated.error(n)).any(), "the loss would pass, too"

    @pytest.mark.parametrize("twin", [MeanOfLogs, NoDrawBelow])
    def test_a_wrong_bound_is_caught(self, twin: type[StructuredPrediction]) -> None:
        """By the bound of many draws, in the standard errors of the right one."""
        model, x = small()
        enumerated, n = Enumerated(model, x), 10_000
        exact, error = enumerated.log_likelihood, enumerated.error(n)
        found = []
        for cls in (StructuredPrediction, twin):
            model.__class__ = cls
            bound = importance_weighted(model, x, n, stream(0, "evaluation"), rows=5 * n).numpy()
            found.append((np.abs(bound - exact) / error).max())
        assert found[0] < Z_MAX < found[1]


class TestGradients:
    @pytest.mark.parametrize(("latents", "name"), [("bits", "disarm"), ("classes", "rloo")])
    def test_logits_gradients_have_the_exact_mean(self, latents: str, name: str) -> None:
        """Means of `logits_draws` and of the reference against the exact one: all of it, as nothing is analytic."""
        model, x = copy.deepcopy(toy(latents).model), toy(latents).x
        exact = toy(latents).exact()["cut"] / len(x)
        draws = logits_draws(model, build(name, *model.layers).eval(), x, 1000, stream(0, "sample"))
        reference = reference_draws(model, x, 512, stream(0, "sample"))
        assert reference is not None
        moving = exact.abs() > exact.abs().quantile(0.7)
        for found in (draws, reference):
            scores = (found.mean(0) - exact) / (found.std(0) / len(found) ** 0.5)
            assert scores[moving].abs().max() < Z_MAX
            assert (found.mean(0) / (found.std(0) / len(found) ** 0.5))[moving].abs().max() > Z_MAX, "0 would pass too"

    @pytest.mark.parametrize("arch", ["three-layer", "categorical"])
    def test_every_parameter_is_trained(self, arch: str) -> None:
        task = MnistHalf(arch=arch, n=4, batch=8)
        step = TrainStep(task, build("rloo", *task.layers), seed=0)
        before = {name: value.clone() for name, value in step.vae.state_dict().items()}
        step(next(task.batches(stream(0, "data"))))
        assert all(not torch.equal(value, before[name]) for name, value in step.vae.state_dict().items())
        own, layers = list(step.vae.parameters()), len(task.layers)
        assert (
            list(map(id, step.vae.inference_parameters())) == list(map(id, own[: 2 * layers]))
            and len(own) == 2 * layers + 2
        )

    def test_bounds_are_refused_and_the_basket_says_so(self) -> None:
        found = Basket(TRAINING_BASKET, toy().layers).measure(toy().model, toy().x, stream(0, "basket"))
        assert found["vimco"] == "vimco is a bound of one stochastic layer, but there are 2"
        assert set(found["rebar"]) == {"var_cut", "var_encoder", "bias_reference", "bias_encoder"}


class TestTask:
    @pytest.mark.parametrize(
        ("values", "widths"),
        [
            ({}, [392, 200, 200, 392]),
            ({"arch": "three-layer", "n": 240}, [392, 240, 240, 240, 392]),
            ({"arch": "categorical"}, [392, 200, 200, 392]),
            ({"arch": "categorical", "n": 3, "k": 4}, [392, 12, 12, 392]),
        ],
    )
    def test_networks_have_the_stated_widths(self, values: dict[str, Any], widths: list[int]) -> None:
        task = MnistHalf(**values)
        networks: list[Any] = [part for part in task.model(0).modules() if isinstance(part, nn.Linear)]
        assert [networks[0].in_features, *(network.out_features for network in networks)] == widths
        assert task.model(0).layers == task.layers and len(task.layers) == len(widths) - 2

    def test_the_bias_starts_at_the_mean_of_the_lower_half(self) -> None:
        plain, other = (MnistHalf(output_bias=choice) for choice in ("yes", "no"))
        torch.testing.assert_close(
            plain.model(0).decoder[-1].bias.sigmoid(), plain.data_mean[392:].clamp(1e-3, 1 - 1e-3), rtol=1e-4, atol=0
        )
        assert other.model(0).decoder[-1].bias.abs().max() < 200**-0.5

    def test_the_latents_of_relaxed_estimators_reach_the_networks_signed(self) -> None:
        model, x = small(signs=True)
        latent = model.latent(model.encode(x))
        assert isinstance(latent, Bernoulli)
        relaxed = torch.full((1, 5, 3), 0.25, dtype=torch.float64)
        expected = nn.functional.linear(torch.full((3,), -0.5).double(), *model.decoder[0].parameters())
        torch.testing.assert_close(model.following(relaxed, 0).params[0, 0], expected)

    @pytest.mark.parametrize("name", ["arm", "muprop", "straight-through", "gumbel-softmax"])
    def test_a_step_descends(self, name: str) -> None:
        task = MnistHalf(n=50, batch=16, lr=1e-3)
        step, data = TrainStep(task, build(name, *task.layers), seed=0), task.batches(stream(0, "data"))
        batches = list(itertools.islice(data, 4))
        losses = [float(step(batches[k % 4]).mean()) for k in range(60)]
        assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 1.5, "in nats, of about a hundred"

    @pytest.mark.parametrize(("arch", "name"), [("two-layer", "rebar"), ("categorical", "reinforce")])
    def test_an_evaluation_measures_everything(self, arch: str, name: str) -> None:
        task = MnistHalf(arch=arch, n=6, batch=16)
        *_, last = train(task, build(name, *task.layers), TRAINING, 0, lambda fraction: None)
        assert {"elbo_train", "iw_test", "gap_test", "bias_reference", "var_cut", "var_encoder"} <= last.metrics.keys()
        assert last.metrics["gap_test"].mean() > 0 and not math.isnan(last.metrics["bias_reference"].value)
        x = torch.from_numpy(last.images["original"])
        completed = torch.from_numpy(last.images["reconstruction"])
        assert set(last.images) == {"original", "reconstruction"} and completed.shape == (8, 784)
        assert torch.equal(completed[:, :392], x[:, :392]) and not torch.equal(completed[:, 392:], x[:, 392:])
