"""Training steps, bounds and the variance of gradients, against enumeration and plain loops."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.training.evaluation import evaluate
from dvae_bench.bench.sources.training.gradient_ema import GradientEma
from dvae_bench.bench.sources.training.logits_gradients import encoder_draws, logits_draws, squared_distances
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.point import Diverged
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Estimate, Unsupported
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, Objective
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.bounds import elbo_parts, importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from dvae_bench.tasks.vae.tiny_vae import TinyVae, trained
from tiny import TRAINING, some_batches
from torch import Tensor
from torch.nn.functional import logsigmoid

PHASES = {"encode", "sample", "objective", "gradient", "objective_backward", "encoder_backward", "update"}
ESTIMATOR_NAMES = sorted(ESTIMATORS.builtin)
SLOW = ("identity-st", "categorical")
ARCHITECTURES = ("linear", "categorical", "two-layer-linear")


@pytest.fixture(scope="module")
def tasks() -> dict[str, MnistVae]:
    return {arch: MnistVae(arch=arch, batch=16, lr=3e-4) for arch in ARCHITECTURES}


@pytest.fixture(scope="module")
def linear(tasks: dict[str, MnistVae]) -> MnistVae:
    return tasks["linear"]


@pytest.fixture
def tiny() -> tuple[Vae, Tensor]:
    """A trained linear VAE of 8 bits and 8 digits."""
    vae, x = trained("mnist-5k")
    return copy.deepcopy(vae), x


def train_step(task: MnistVae, name: str) -> TrainStep:
    try:
        return TrainStep(task, build(name, *task.layers), seed=0)
    except Unsupported as reason:
        pytest.skip(str(reason))


class TestTrainStep:
    @pytest.mark.parametrize("arch", ["linear", "categorical"])
    @pytest.mark.parametrize("name", ESTIMATOR_NAMES)
    def test_training_lowers_the_loss(self, tasks: dict[str, MnistVae], arch: str, name: str) -> None:
        step, batches = train_step(tasks[arch], name), some_batches(tasks[arch], 4)
        losses = [float(step(batches[k % 4]).mean()) for k in range(60)]
        assert np.isfinite(losses).all()
        if (name, arch) == SLOW:
            pytest.skip("without the softmax's Jacobian its KL grows first")
        assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 1.5, "in nats, of about two hundred"

    @pytest.mark.parametrize("arch", ARCHITECTURES)
    @pytest.mark.parametrize("name", ESTIMATOR_NAMES)
    def test_a_timed_step_is_the_same_step(self, tasks: dict[str, MnistVae], arch: str, name: str) -> None:
        plain, timed = (train_step(tasks[arch], name) for _ in range(2))
        timeline = Timeline(CpuClock())
        for x in some_batches(tasks[arch], 3):
            assert torch.equal(plain(x), timed(x, timeline))
            phases = timeline.read()
            assert set(phases) == PHASES and min(phases.values()) > 0
        for part in ("vae", "estimator"):
            one, other = getattr(plain, part).state_dict(), getattr(timed, part).state_dict()
            assert all(torch.equal(one[key], other[key]) for key in one), part

    def test_a_learning_rate_is_that_of_the_next_step(self, linear: MnistVae) -> None:
        step = train_step(linear, "rloo")
        before = copy.deepcopy(step.vae.state_dict())
        step.set_learning_rate(0.0)
        step(some_batches(linear, 1)[0])
        assert all(torch.equal(before[key], value) for key, value in step.vae.state_dict().items())

    def test_a_step_returns_the_loss_of_each_image(self, linear: MnistVae) -> None:
        loss = train_step(linear, "rloo")(some_batches(linear, 1)[0])
        assert loss.shape == (16,) and not loss.requires_grad

    def test_encoder_and_decoder_both_move(self, linear: MnistVae) -> None:
        step = train_step(linear, "reinforce")
        before = copy.deepcopy(step.vae.state_dict())
        step(some_batches(linear, 1)[0])
        assert all(not torch.equal(before[key], value) for key, value in step.vae.state_dict().items())

    def test_models_are_the_same_for_every_estimator(self, linear: MnistVae) -> None:
        torch.manual_seed(99)
        one, other, seed_1 = (linear.model(seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert not torch.equal(one["encoder.0.weight"], seed_1["encoder.0.weight"])


class TestModel:
    @pytest.mark.parametrize("arch", ["linear", "categorical"])
    def test_the_output_starts_at_the_mean_image(self, tasks: dict[str, MnistVae], arch: str) -> None:
        bias = tasks[arch].model(0).decoder[-1].bias.detach()
        torch.testing.assert_close(bias.sigmoid(), tasks[arch].data_mean.clamp(1e-3, 1 - 1e-3))

    @pytest.mark.parametrize(
        ("arch", "widths"),
        [("linear", [784, 200, 784]), ("categorical", [784, 200, 200, 200, 200, 200, 784])],
    )
    def test_networks_have_the_stated_widths(self, tasks: dict[str, MnistVae], arch: str, widths: list[int]) -> None:
        vae = tasks[arch].model(0)
        layers = [m for m in (*vae.encoder, *vae.decoder) if isinstance(m, torch.nn.Linear)]
        assert [layers[0].in_features, *(layer.out_features for layer in layers)] == widths


def log_joint(vae: Vae, x: Tensor) -> Tensor:
    """log p(x, z) of every z, [256, images], written out."""
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8)), dtype=x.dtype)
    logits = vae.decoder(z).unsqueeze(1)
    log_likelihood = (x * logits + logsigmoid(-logits)).sum(-1)
    return log_likelihood - 8 * math.log(2)


def log_q(vae: Vae, x: Tensor) -> Tensor:
    """log q(z given x) of every z, [256, images], written out."""
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8)), dtype=x.dtype).unsqueeze(1)
    logits = vae.encoder(x)
    return (z * logits + logsigmoid(-logits)).sum(-1)


def every_code_in_turn() -> Callable[[Bernoulli, int, None], Tensor]:
    given = 0

    def sample(latent: Bernoulli, n: int, generator: None) -> Tensor:
        nonlocal given
        given += n
        return latent.configurations(given - n, given)

    return sample


class TestBounds:
    @pytest.mark.parametrize("kl", ["analytic", "sampled"])
    def test_the_elbo_is_unbiased_for_the_enumerated_one(self, tiny: tuple[Vae, Tensor], kl: str) -> None:
        vae, x = tiny
        vae.kl = kl
        with torch.no_grad():
            exact = (log_q(vae, x).exp() * (log_joint(vae, x) - log_q(vae, x))).sum(0)
        draws = elbo_parts(vae, x.repeat(2000, 1), stream(0, "evaluation"))["elbo"].view(2000, len(x))
        error, se = draws.mean(0) - exact, draws.std(0) / 2000**0.5
        assert (error.abs() < 4.5 * se + 1e-3).all()

    def test_many_samples_reach_the_likelihood(self, tiny: tuple[Vae, Tensor]) -> None:
        """The standard error is that of the log of a mean weight p(x, z) / q(z), its variance summed over every z."""
        vae, x = tiny
        samples = 30_000
        with torch.no_grad():
            joint = log_joint(vae, x).double()
            exact = joint.logsumexp(0)
            second_moment = (2 * (joint - exact) - log_q(vae, x).double()).logsumexp(0).exp()
            se = ((second_moment - 1) / samples).sqrt()
            error = importance_weighted(vae, x, samples, stream(0, "evaluation")) - exact
        assert (error.abs() < 4.5 * se).all(), f"{error} against standard errors {se}"

    def test_bounds_are_ordered(self, tiny: tuple[Vae, Tensor]) -> None:
        """ELBO <= IW of 5 <= IW of 50 <= log p(x), for each image, within standard errors."""
        vae, x = tiny
        repeats, generator = 200, stream(0, "evaluation")
        many = x.repeat(repeats, 1)
        with torch.no_grad():
            exact = log_joint(vae, x).logsumexp(0)
        ladder = [
            elbo_parts(vae, many, generator)["elbo"],
            *(importance_weighted(vae, many, k, generator) for k in (5, 50)),
        ]
        means = [draws.view(repeats, -1).mean(0) for draws in ladder] + [exact]
        errors = [draws.view(repeats, -1).std(0) / repeats**0.5 for draws in ladder] + [torch.zeros_like(exact)]
        for (low, low_se), (high, high_se) in itertools.pairwise(zip(means, errors, strict=True)):
            assert (low <= high + 4 * (low_se**2 + high_se**2).sqrt() + 1e-3).all()
        assert (means[0] < means[-1] - 0.1).any(), "the bound is too tight for this test to say anything"

    def test_one_sample_is_the_elbo_with_its_kl_sampled(
        self, tiny: tuple[Vae, Tensor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the same draws."""
        vae, x = tiny
        vae.kl = "sampled"
        monkeypatch.setattr(Bernoulli, "sample_many", Bernoulli.sample)
        one = importance_weighted(vae, x, 1, stream(0, "evaluation"))
        torch.testing.assert_close(one, elbo_parts(vae, x, stream(0, "evaluation"))["elbo"])

    @pytest.mark.parametrize("rows", [1, 8, 43, 5000])
    def test_streaming_in_chunks_changes_nothing_but_rounding(
        self, tiny: tuple[Vae, Tensor], rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every draw given: the 256 codes one after the other, whatever the chunks."""
        vae, x = tiny
        monkeypatch.setattr(Bernoulli, "sample_many", every_code_in_turn())
        bound = importance_weighted(vae, x[:1], 256, None, rows=rows)
        weights = (log_joint(vae, x[:1]) - log_q(vae, x[:1])).logsumexp(0).detach() - math.log(256)
        torch.testing.assert_close(bound, weights)


class TestKl:
    @pytest.mark.parametrize("kl", ["analytic", "sampled"])
    def test_the_exact_gradient_is_that_of_the_negative_elbo(self, kl: str) -> None:
        task = TinyVae(dtype=torch.float64)
        vae, x = task.vae, task.x
        params = vae.encode(x)
        loss = (log_q(vae, x).exp() * (log_q(vae, x) - log_joint(vae, x))).sum()
        wanted = {name: torch.autograd.grad(loss, group, retain_graph=True) for name, group in task.groups().items()}
        exact = TinyVae(kl=kl).exact()
        assert set(exact) == {"value", "cut", "encoder", "decoder"}
        torch.testing.assert_close(exact["value"].sum(), loss.detach())
        for name, gradients in wanted.items():
            torch.testing.assert_close(exact[name], torch.cat([g.flatten() for g in gradients]))
        (through_cut,) = torch.autograd.grad(params, vae.encoder[0].weight, exact["cut"])
        torch.testing.assert_close(through_cut, wanted["encoder"][0])


class TestGradientSpread:
    @pytest.mark.parametrize("kl", ["analytic", "sampled"])
    def test_the_spread_agrees_with_a_plain_loop(
        self, tiny: tuple[Vae, Tensor], kl: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vae, x = tiny
        vae.kl = kl
        draws, rloo = 12, build("rloo:n=3", vae.spec).eval()
        with torch.no_grad():
            z = rloo.sample(vae.latent(vae.encode(x).expand(draws, *vae.encode(x).shape)), stream(0, "sample"))
        given = iter(z.unbind(1))
        monkeypatch.setattr(
            rloo, "sample", lambda latent, _: torch.stack([next(given) for _ in range(len(latent.params))], 1)
        )
        cut = logits_draws(vae, rloo, x, draws, stream(0, "sample"))
        spread = {"var_cut": cut, "var_encoder": encoder_draws(vae, x, cut)}
        spread = {name: squared_distances(gradients) for name, gradients in spread.items()}

        at_cut, in_encoder = [], []
        for row in range(draws):
            params = vae.encode(x)
            latent = vae.latent(params)
            loss = rloo.gradient(vae.objective(x, latent), latent, z[:, row]).spliced(latent).mean()
            cut, *encoder = torch.autograd.grad(loss, [params, *vae.encoder.parameters()])
            at_cut.append(cut.flatten())
            in_encoder.append(torch.cat([g.flatten() for g in encoder]))
        for name, gradients in (("var_cut", at_cut), ("var_encoder", in_encoder)):
            assert spread[name].shape == (draws,)
            torch.testing.assert_close(spread[name].mean(), torch.stack(gradients).var(0).sum(), rtol=1e-4, atol=0)

    def test_the_exact_gradient_has_no_spread(self, tiny: tuple[Vae, Tensor]) -> None:
        vae, x = tiny
        cut = logits_draws(vae, build("exact", vae.spec).eval(), x, 3, stream(0, "sample"))
        assert float(squared_distances(cut).max()) < 1e-8
        assert float(squared_distances(encoder_draws(vae, x, cut)).max()) < 1e-8


class TestGradientEma:
    def test_it_is_the_exponential_moving_variance_of_the_literature(self) -> None:
        parameter, generator = torch.zeros(5, requires_grad=True), torch.Generator().manual_seed(0)
        ema, mean, square, weight = GradientEma([parameter], decay=0.9), torch.zeros(5), torch.zeros(5), 0.0
        for _ in range(30):
            parameter.grad = torch.randn(5, generator=generator) + 2
            ema.update()
            mean, square = 0.9 * mean + 0.1 * parameter.grad, 0.9 * square + 0.1 * parameter.grad.square()
            weight = 0.9 * weight + 0.1
        expected = (square / weight - (mean / weight).square()).mean()
        assert ema.variance() == pytest.approx(float(expected), rel=1e-5)


class TestTrain:
    def test_evaluations_are_evenly_spaced(self, linear: MnistVae) -> None:
        ticks: list[float] = []
        points = train(linear, build("rloo", linear.spec), TRAINING, 0, ticks.append)
        assert [point.step for point in points] == [2, 4, 6] and ticks == pytest.approx([1 / 3, 2 / 3, 1])
        images = {f"{name}_{split}": 20 for name in ("elbo", "reconstruction", "kl") for split in ("train", "test")}
        sizes = images | {"var_cut": 4, "var_encoder": 4}
        for point, iw in zip(points, (0, 0, 8), strict=True):
            expected = sizes | ({"iw_test": iw, "gap_test": iw} if iw else {})
            samples = {name: s for name, s in point.metrics.items() if not isinstance(s, Quantity)}
            assert {name: len(s) for name, s in samples.items()} == expected
            assert ("bias_reference" in point.metrics) == bool(iw) and point.metrics["var_ema"].value > 0
        seconds = [point.seconds for point in points]
        assert seconds == sorted(seconds) and seconds[0] > 0

    def test_the_learning_rate_follows_the_schedule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task, rates = MnistVae(arch="linear", batch=8, lr=0.5, schedule="step", warmup=2), []
        monkeypatch.setattr(TrainStep, "set_learning_rate", lambda step, rate: rates.append(rate))
        train(task, build("rloo", task.spec), TRAINING, 0, lambda fraction: None)
        assert rates == pytest.approx([0.25, 0.5, 0.5, 0.05, 0.005, 0.005])

    @pytest.mark.parametrize("name", ["rloo", "rebar", "reinforce-ema"])
    def test_training_is_reproducible(self, linear: MnistVae, name: str) -> None:
        one, other, seed_1 = (
            train(linear, build(name, linear.spec), TRAINING, seed, lambda fraction: None) for seed in (0, 0, 1)
        )
        for point, again in zip(one, other, strict=True):
            for metric in point.metrics:
                pair = (point.metrics[metric], again.metrics[metric])
                np.testing.assert_array_equal(*(astuple(m) if isinstance(m, Quantity) else m for m in pair))
        assert not np.array_equal(one[-1].metrics["elbo_test"], seed_1[-1].metrics["elbo_test"])

    def test_training_ends_when_its_time_is_spent(self, linear: MnistVae) -> None:
        points = train(linear, build("rloo", linear.spec), replace(TRAINING, seconds=0.0), 0, lambda fraction: None)
        assert [point.step for point in points] == [1]
        assert {"iw_test", "bias_reference"} <= points[0].metrics.keys(), "evaluated as a last step is"

    def test_divergence_keeps_the_curve_so_far(self, linear: MnistVae, monkeypatch: pytest.MonkeyPatch) -> None:
        rloo = build("rloo", linear.spec)
        whole, calls = rloo.gradient, itertools.count(1)

        def fails_at_step_4(f: Objective, latent: object, draw: Tensor) -> Estimate:
            estimate = whole(f, latent, draw)
            return (
                Estimate(estimate.value * torch.nan, estimate.grad) if rloo.training and next(calls) >= 4 else estimate
            )

        monkeypatch.setattr(rloo, "gradient", fails_at_step_4)
        with pytest.raises(Diverged, match="by step 4, the loss was not finite") as end:
            train(linear, rloo, TRAINING, 0, lambda fraction: None)
        assert [point.step for point in end.value.points] == [2]
        assert np.isfinite(end.value.points[0].metrics["elbo_test"]).all()

    def test_evaluation_leaves_the_estimator_as_it_was(self, linear: MnistVae) -> None:
        step, x = train_step(linear, "reinforce-ema"), some_batches(linear, 1)[0]
        step(x)
        before = copy.deepcopy(step.estimator.state_dict())
        one, other = (evaluate(step, linear, TRAINING, 0, x, final=True) for _ in range(2))
        assert step.estimator.training
        assert all(torch.equal(before[key], value) for key, value in step.estimator.state_dict().items())
        for metric in one:
            a, b = (
                np.array(list(vars(m).values()) if isinstance(m, Quantity) else m) for m in (one[metric], other[metric])
            )
            np.testing.assert_array_equal(a, b, err_msg="the evaluation's noise is not fixed")


class TestStreams:
    def test_streams_are_reproducible(self) -> None:
        one, other = (torch.rand(100, generator=stream(3, "data")) for _ in range(2))
        assert torch.equal(one, other)

    def test_no_two_streams_are_the_same_or_correlated(self) -> None:
        purposes = ("data", "sample", "lower", "tuning", "tuning-lower", "evaluation")
        noise = torch.stack([torch.randn(4000, generator=stream(s, p)) for s in range(4) for p in purposes])
        correlation = torch.corrcoef(noise) - torch.eye(len(noise))
        assert float(correlation.abs().max()) < 5 / 4000**0.5

    def test_the_data_do_not_depend_on_what_the_estimator_draws(self, linear: MnistVae) -> None:
        data, sample = stream(0, "data"), stream(0, "sample")
        batches = []
        for x in itertools.islice(linear.batches(data), 3):
            torch.rand(17, generator=sample)
            batches.append(x)
        for x, y in zip(batches, some_batches(linear, 3), strict=True):
            assert torch.equal(x, y)


def test_specs_match_the_models(tasks: dict[str, MnistVae]) -> None:
    assert tasks["linear"].spec == LatentSpec.bernoulli(200)
    assert tasks["categorical"].spec == LatentSpec.categorical(20, 10)
