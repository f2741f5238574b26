"""`mnist-vae:prior=rbm`: its KL and bounds against enumeration, its steps, its evaluations, and bad input."""

from __future__ import annotations

import copy
import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from annealed import log_mean_error, log_weights
from command_line import Command
from dvae_bench.bench.collectors.training import unit_and_direction
from dvae_bench.bench.run.runner import run_cells
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.gradient import model_problem
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.point import Diverged
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import Unsupported, UsageError
from dvae_bench.tasks.vae import autoencoder
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.bounds import elbo_parts, importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from tiny import TRAINING, Diary, grid, some_batches
from torch import Tensor

BITS, LEFT, PIXELS = 5, 2, 12
Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million; the tests below look at fewer than 100 at fixed seeds."""
SMALL = {"arch": "linear", "n": 12, "batch": 16, "prior": "rbm"}


def vae(negative: str = "exact", **values: Any) -> Vae:
    """A VAE of few bits whose RBM is far from uniform, in float64."""
    torch.manual_seed(0)
    rbm = partial(Boltzmann, LEFT, BITS - LEFT, negative)
    made = Vae(Architecture((LatentSpec.bernoulli(BITS),)), torch.rand(PIXELS), boltzmann=rbm, **values).double()
    assert made.boltzmann is not None
    with torch.no_grad():
        for parameter in made.boltzmann.parameters():
            parameter.normal_()
    return made


def images(count: int = 4, pixels: int = PIXELS) -> Tensor:
    return torch.rand(count, pixels, generator=stream(0, "data"), dtype=torch.float64).round()


def log_p(made: Vae, z: Tensor) -> Tensor:
    """log p(z) with log Z enumerated over all bits, not by `exact_log_z`."""
    assert made.boltzmann is not None
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=BITS)), dtype=torch.float64)
    return made.boltzmann.neg_energy(z) - made.boltzmann.neg_energy(every).logsumexp(0)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
class TestLoss:
    def test_the_loss_and_its_gradients_are_the_enumerated_ones(self, kl: str) -> None:
        """E_q of f plus the regulariser, in q's parameters, the decoder, b and W: the entropy of all bits, log Z."""
        made, x = vae(kl=kl), images()
        params = torch.randn(4, BITS, dtype=torch.float64).requires_grad_()
        latent = made.latent(params)
        z = latent.support()
        q, regulariser = latent.log_prob(z), made.regulariser(latent)
        assert regulariser is not None and regulariser.shape == (4,)
        ours = (q.exp() * made.objective(x, latent)(z)).sum(0) + regulariser
        exact = (q.exp() * (made.reconstruction(x, z) + q - log_p(made, z))).sum(0)
        torch.testing.assert_close(ours, exact)
        wanted = [params, *made.decoder.parameters(), *made.prior_parameters()]
        for mine, other in zip(
            *(torch.autograd.grad(loss.sum(), wanted, retain_graph=True) for loss in (ours, exact)), strict=True
        ):
            torch.testing.assert_close(mine, other)
            assert other.abs().max() > 0

    def test_log_z_is_in_f_for_bounds_alone(self, kl: str) -> None:
        """A constant of tens of nats in f would be variance of plain REINFORCE."""
        made, x = vae(kl=kl), images()
        latent = made.latent(made.encode(x))
        z = latent.sample(1, stream(0, "sample"))
        before, bound = made.objective(x, latent)(z), made.objective(x, latent, bound=True)(z)
        torch.testing.assert_close(-bound, log_p(made, z) - made.reconstruction(x, z))
        assert made.boltzmann is not None
        made.boltzmann.exact_log_z = lambda: torch.tensor(1e3)  # type: ignore[method-assign]
        torch.testing.assert_close(made.objective(x, latent)(z), before, rtol=0, atol=0)
        assert (made.objective(x, latent, bound=True)(z) - bound).min() > 900

    def test_elbo_and_many_draws_reach_the_likelihood(self, kl: str) -> None:
        made, x = vae(kl=kl), images(2)
        latent = made.latent(made.encode(x))
        z = latent.support()
        joint = log_p(made, z) - made.reconstruction(x, z)
        elbo = (latent.log_prob(z).exp() * (joint - latent.log_prob(z))).sum(0)
        parts = elbo_parts(made, x.repeat(2000, 1), stream(0, "evaluation"))["elbo"].view(2000, 2)
        assert ((parts.mean(0) - elbo) / (parts.std(0) / 2000**0.5)).abs().max() < Z_MAX
        many, exact = importance_weighted(made, x, 5000, stream(0, "evaluation")), joint.logsumexp(0)
        error = (((2 * (joint - exact) - latent.log_prob(z)).exp().sum(0) - 1) / 5000).sqrt()
        assert (((many - exact).exp() - 1).abs() < Z_MAX * error).all()
        assert (((elbo - exact).exp() - 1).abs() > Z_MAX * error).all(), "the ELBO would pass too"

    def test_a_warm_up_weighs_the_kl_and_nothing_else(self, kl: str) -> None:
        made, x = vae(kl=kl, kl_warmup=4), images()
        latent = made.latent(made.encode(x))
        z = latent.support()
        q = latent.log_prob(z)
        reconstruction, whole = ((q.exp() * part).sum(0) for part in (made.reconstruction(x, z), q - log_p(made, z)))
        elbo = elbo_parts(made, x, stream(0, "evaluation"))["elbo"]
        for weight in (0.25, 0.5, 0.75, 1.0, 1.0):
            made.advance(None)
            loss, regulariser = (q.exp() * made.objective(x, latent)(z)).sum(0), made.regulariser(latent)
            assert regulariser is not None
            torch.testing.assert_close(loss + regulariser, reconstruction + weight * whole)
        assert torch.equal(elbo_parts(made, x, stream(0, "evaluation"))["elbo"], elbo)
        with pytest.raises(Unsupported, match="kl_warmup weighs the KL"):
            made.objective(x, latent, bound=True)


@pytest.mark.parametrize("values", [{}, {"groups": 2}, {"kl": "mean-field"}], ids=["one group", "two groups", "DVAE#"])
def test_prior_draws_have_the_moments_of_the_rbm(values: dict[str, Any]) -> None:
    """E z and E z zᵀ."""
    made, n = MnistVae(**SMALL | {"n": BITS, "left": LEFT} | values).model(0).double(), 20_000
    with torch.no_grad():
        for parameter in made.boltzmann.parameters():
            parameter.normal_(generator=stream(0, "init"))

    def pairs(z: Tensor) -> Tensor:
        return (z.unsqueeze(-1) * z.unsqueeze(-2)).flatten(-2)

    def score(draws: Tensor) -> float:
        return float(((pairs(draws).mean(0) - exact) / (exact * (1 - exact) / n).sqrt()).abs().max())

    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=BITS)), dtype=torch.float64)
    exact = (log_p(made, every).exp().detach() @ pairs(every)).detach()
    assert score(made.sample_prior(n, stream(0, "images"))) < Z_MAX
    assert score(torch.rand(n, BITS, generator=stream(0, "images"), dtype=torch.float64).round()) > Z_MAX


def test_every_prior_can_be_warmed_up() -> None:
    """The deeper VAE counts as KL, and so do log q and log p of smoothed bits."""
    smoothed = {"arch": "linear", "n": 5, "prior": "rbm", "left": 2}
    for name, values in (
        ("reinforce", {"arch": "linear", "n": 5}),
        ("reinforce", {"arch": "two-layer-linear", "n": 5}),
        ("reinforce", {"arch": "gaussian", "kl": "l2"}),
        ("dvaepp-exp", smoothed | {"kl": "mean-field"}),
        ("dvaes-gaussian", smoothed | {"kl": "gaussian-integral"}),
    ):
        plain, warmed = (MnistVae(batch=4, **values, **more).model(0) for more in ({}, {"kl_warmup": 4}))
        x = images(pixels=784).float()
        found = []
        for each in (plain, warmed):
            each.advance(None)
            latent, estimator = each.latent(each.encode(x)), build(name, *each.layers)
            z = latent.sample(1, stream(0, "sample"))
            lower = estimator.lower(stream(0, "lower"))
            f, regulariser = model_problem(each, x).parts(estimator, latent, lower)
            found.append(f(z)[0] + regulariser() - each.reconstruction(x, z)[0])
        torch.testing.assert_close(found[0] / 4, found[1], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-4), "a KL without its weight would pass too"


class TestStep:
    def step(self, name: str = "rloo", **values: Any) -> TrainStep:
        task = MnistVae(**SMALL | values)
        return TrainStep(task, build(name, *task.layers), seed=0)

    def test_the_networks_start_as_those_with_the_fixed_prior(self) -> None:
        """So that seeds pair; a prior made first would shift every draw."""
        ours, fixed = (MnistVae(**SMALL | {"prior": prior}).model(0).state_dict() for prior in ("rbm", "fixed"))
        assert all(torch.equal(ours[key], value) for key, value in fixed.items())

    def test_the_negative_phase_is_a_phase_of_its_own(self) -> None:
        for values, own in (({}, {"negative"}), ({"negative": "exact"}, set()), ({"prior": "fixed"}, set())):
            plain, timed = (self.step(**values) for _ in range(2))
            timeline = Timeline(CpuClock())
            for x in some_batches(plain.task, 2):
                assert torch.equal(plain(x), timed(x, timeline))
                assert timeline.phases[0] == ("negative" if own else "encode")
                assert {"negative"} & timeline.read().keys() == own

    def test_chains_move_in_a_step_and_nowhere_else(self) -> None:
        step = self.step()
        rbm = step.vae.boltzmann
        assert rbm is not None and rbm.chains is not None
        x, before = some_batches(step.task, 1)[0], rbm.chains.clone()
        step.vae.measure_prior(False, stream(0, "evaluation"))
        step.task.metrics(step.vae, x, stream(0, "evaluation"), samples=2)
        assert torch.equal(rbm.chains, before)
        address = rbm.chains.data_ptr()
        step(x)
        assert not torch.equal(rbm.chains, before) and rbm.chains.data_ptr() == address

    def test_a_step_moves_b_and_w_by_the_chains(self) -> None:
        """Against positive less negative phase written out; with the sign of the latter changed they would differ."""
        step = self.step("straight-through", optimizer="sgd", prior_lr=0.1)
        rbm = step.vae.boltzmann
        assert rbm is not None and rbm.chains is not None
        (x,) = some_batches(step.task, 1)
        before = copy.deepcopy(rbm)
        p = step.vae.latent(step.vae.encode(x)).mean.detach()
        step(x)
        b, w = before.bias.detach(), before.weight.detach()
        means = (b[6:] + rbm.chains @ w).sigmoid()
        positive = torch.cat([p.mean(0), (p[:, :6].T @ p[:, 6:] / len(p)).flatten()])
        negative = torch.cat([rbm.chains.mean(0), means.mean(0), (rbm.chains.T @ means / len(means)).flatten()])
        moved = torch.cat([(rbm.bias - b).flatten(), (rbm.weight - w).flatten()]).detach()
        torch.testing.assert_close(moved, 0.1 * (positive - negative), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(moved, 0.1 * (positive + negative), atol=1e-2)

    @pytest.mark.parametrize("name", ["rebar", "vimco"])
    def test_it_resumes_to_the_same_bits_chains_included(self, name: str, tmp_path: Any) -> None:
        whole, first, rest = (self.step(name, **({"kl_warmup": 3} if name == "rebar" else {})) for _ in range(3))
        for step in (whole, first, rest):  # far from uniform, or else all chains meet within a step
            with torch.no_grad():
                step.vae.boltzmann.weight.mul_(300)
        batches = some_batches(whole.task, 4)
        for x in batches:
            whole(x)
        for x in batches[:2]:
            first(x)
        checkpoint = Checkpoint(tmp_path / "a.safetensors")
        checkpoint.save(first.state_dict())
        rest.load_state_dict(checkpoint.load() or {})
        for x in batches[2:]:
            rest(x)
        one, other = whole.vae.state_dict(), rest.vae.state_dict()
        assert "boltzmann.chains" in one and all(torch.equal(one[key], other[key]) for key in one)
        rest.vae.boltzmann.chains.zero_()
        rest(batches[0])
        whole(batches[0])
        assert not torch.equal(whole.vae.boltzmann.weight, rest.vae.boltzmann.weight), "lost chains would not show"

    def test_it_trains_the_prior(self) -> None:
        """Below the fixed prior's loss of the same images over the last 40 of 100 steps, by its KL."""
        found = []
        for prior in ("fixed", "rbm"):
            step = self.step("straight-through", prior=prior, lr=1e-2, negative="exact" if prior == "rbm" else "pcd")
            found.append(torch.stack([step(x) for x in some_batches(step.task, 100)])[-40:].flatten())
        fallen = found[0] - found[1]
        assert fallen.mean() > Z_MAX * fallen.std() / len(fallen) ** 0.5


class TestEvaluation:
    def points(self, monkeypatch: pytest.MonkeyPatch, final_chains: int = 20, **values: Any) -> list[Any]:
        monkeypatch.setattr(autoencoder, "CHAINS", 10)
        monkeypatch.setattr(autoencoder, "FINAL_CHAINS", final_chains)
        task = MnistVae(**SMALL | values)
        return train(task, build("rloo", *task.layers), TRAINING, 0, lambda fraction: None)

    def test_small_sides_are_exact_and_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Against log Z of the model at each evaluation, enumerated over all bits."""
        measure, exact = Boltzmann.measure, []

        def enumerated(machine: Boltzmann, *rest: Any) -> dict[str, Tensor]:
            every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=12)))
            exact.append(float(machine.neg_energy(every).logsumexp(0).detach()))
            return measure(machine, *rest)

        monkeypatch.setattr(Boltzmann, "measure", enumerated)
        for values, metrics in (({}, {"log_z", "negative_ratio"}), ({"negative": "exact"}, {"log_z"})):
            points = self.points(monkeypatch, **values)
            for point in points:
                assert {"log_z", "log_z_gap", "negative_ratio"} & point.metrics.keys() == metrics
            assert [point.metrics["log_z"].value for point in points] == pytest.approx(exact, rel=1e-5)  # float32
            assert len(set(exact)) == len(exact), "another evaluation's would pass too"
            exact.clear()

    def test_its_rows_have_units_and_directions(self) -> None:
        found = {metric: unit_and_direction(metric) for metric in ("log_z", "log_z_gap", "negative_ratio")}
        assert found == {"log_z": ("nats", "none"), "log_z_gap": ("nats", "none"), "negative_ratio": ("", "lower")}

    def test_larger_ones_are_annealed_from_both_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dvae_bench.tasks.vae.boltzmann.EVALUATED", 4)
        monkeypatch.setattr("dvae_bench.tasks.vae.boltzmann.COMPARED", 4)
        monkeypatch.setattr("dvae_bench.tasks.vae.boltzmann.TEMPERATURES", 20)
        weights = log_weights(monkeypatch)
        *_, last = self.points(monkeypatch, final_chains=1000)
        assert {"log_z", "log_z_gap", "negative_ratio"} & last.metrics.keys() == {"log_z", "log_z_gap"}
        assert {"elbo_test", "iw_test", "active_units_test"} <= last.metrics.keys()
        below, above = weights[-2:]
        gap = last.metrics["log_z_gap"].value
        assert gap == pytest.approx(float((below.exp().mean() * above.exp().mean()).log()), abs=1e-5)  # float32
        assert abs(gap) < Z_MAX * math.hypot(log_mean_error(below), log_mean_error(above))

    def test_the_elbo_has_the_log_z_of_its_own_evaluation(self) -> None:
        """Not of the last step: a stale one would be off by what b has moved."""
        task = MnistVae(**SMALL)
        made = task.model(0)
        assert made.boltzmann is not None
        with torch.no_grad():
            made.boltzmann.bias.fill_(2.0)
        x = task.evaluation_images(task.test, 20)
        stale = task.metrics(made, x, stream(0, "evaluation"))["kl"]
        log_z = made.measure_prior(False, stream(0, "evaluation"))["log_z"]
        fresh = task.metrics(made, x, stream(0, "evaluation"))["kl"]
        torch.testing.assert_close(fresh - stale, (log_z - 12 * 0.693147).expand_as(fresh), rtol=1e-4, atol=1e-4)

    def test_nan_ends_the_cell_as_diverged(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """NaN in W hides in the chains, whose bits stay 0 and 1; the loss shows it."""
        whole = TrainStep.__call__

        def poisoned(step: TrainStep, x: Tensor) -> Tensor:
            with torch.no_grad():
                step.vae.boltzmann.weight[0, 0] = float("nan")
            return whole(step, x)

        monkeypatch.setattr(TrainStep, "__call__", poisoned)
        diary = Diary()
        run_cells(grid("rloo", tasks="mnist-vae:arch=linear,n=12,batch=16,prior=rbm", sources="steps"), store, diary)
        assert diary.of("rloo")[0] == "diverged"
        with pytest.raises(Diverged):
            train(MnistVae(**SMALL), build("rloo", LatentSpec.bernoulli(12)), TRAINING, 0, lambda fraction: None)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("dvaes-gaussian", {"kl": "gaussian-integral"}),
            ("dvaepp-exp", {"kl": "mean-field"}),
            ("rloo", {"rule": "wake-sleep"}),
            ("rloo", {"groups": 2, "negative": "exact"}),
        ],
    )
    def test_a_parameter_that_turns_nan_keeps_the_curve_whatever_fails_on_it(
        self, monkeypatch: pytest.MonkeyPatch, name: str, values: dict[str, Any]
    ) -> None:
        """Singular values of NaN and draws by NaN weights raise errors of their own."""
        self._poison(monkeypatch, float("nan"), before=4)
        assert self._ends(name, values) == [2]

    def test_a_last_update_to_nan_keeps_the_curve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a finite loss: the evaluation would draw images by NaN weights."""
        self._poison(monkeypatch, float("nan"), after=TRAINING.steps)
        assert self._ends("rloo", {}) == [2, 4]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_lambda_that_w_outgrows_keeps_the_curve(self, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
        """Seen by a step, or by the gradients of an evaluation."""
        self._poison(monkeypatch, 100.0, **{when: 4})
        assert self._ends("dvaes-gaussian", {"kl": "gaussian-integral"}, "by step 4, the Gaussian integral needs") == [
            2
        ]

    def test_a_lambda_too_small_from_the_start_is_refused(self) -> None:
        task = MnistVae(**SMALL, kl="gaussian-integral")
        with pytest.raises(UsageError, match="needs a lambda above"):
            train(task, build("dvaes-gaussian:beta=.001", task.spec), TRAINING, 0, lambda fraction: None)

    @staticmethod
    def _poison(monkeypatch: pytest.MonkeyPatch, weight: float, before: int = 0, after: int = 0) -> None:
        """Set a weight of the RBM before or after this training step."""
        whole, steps = TrainStep.__call__, itertools.count(1)

        def poison(step: TrainStep) -> None:
            with torch.no_grad():
                step.vae.boltzmann.weight[0, 0] = weight

        def poisoned(step: TrainStep, x: Tensor) -> Tensor:
            now = next(steps)
            if now == before:
                poison(step)
            loss = whole(step, x)
            if now == after:
                poison(step)
            return loss

        monkeypatch.setattr(TrainStep, "__call__", poisoned)

    @staticmethod
    def _ends(name: str, values: dict[str, Any], reason: str = "not finite") -> list[int]:
        """The steps of the evaluations before the training diverges, for this reason."""
        task = MnistVae(**SMALL | values)
        layers = Layers(type(build(name, task.spec)), {}, task, torch.device("cpu"))
        with pytest.raises(Diverged, match=reason) as end:
            train(task, layers.whole, TRAINING, 0, lambda fraction: None)
        return [point.step for point in end.value.points]


class TestBadInput:
    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            ({"arch": "categorical"}, "an RBM is a distribution over bits, and arch=categorical has none"),
            ({"arch": "gaussian"}, "an RBM is a distribution over bits, and arch=gaussian has none"),
            ({"arch": "two-layer-linear"}, "prior=rbm takes one stochastic layer, and arch=two-layer-linear has"),
        ],
    )
    def test_other_latents_are_unsupported(self, values: dict[str, Any], reason: str, store: Store) -> None:
        with pytest.raises(Unsupported, match=reason):
            MnistVae(prior="rbm", **values)
        diary = Diary()
        name = "pathwise" if values["arch"] == "gaussian" else "rloo"
        run_cells(grid(name, tasks=f"mnist-vae:prior=rbm,arch={values['arch']}"), store, diary)
        assert {status for status, _ in diary.ended.values()} == {"unsupported"} and len(diary.ended) == 2
        assert all(reason in why for _, why in diary.ended.values())

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            (
                {"prior": "rbm", "negative": "exact"},
                "mnist-vae: negative=exact enumerates the smaller side of the RBM, at most 12 bits, and left=100 of "
                "200 leaves 100 there; set left=12 or negative=pcd",
            ),
            (
                {"prior": "rbm", "left": 200},
                "mnist-vae: left must leave bits on both sides of the RBM, got 200 of 200",
            ),
            ({"prior": "rbm", "n": 1}, "mnist-vae: left must leave bits on both sides of the RBM, got 0 of 1"),
            ({"left": 10}, "mnist-vae: left is a setting of an RBM: add prior=rbm"),
            ({"negative": "exact"}, "mnist-vae: negative is a setting of an RBM: add prior=rbm"),
            ({"prior": "trainable", "sweeps": 2}, "mnist-vae: sweeps is a setting of an RBM: add prior=rbm"),
            (
                {"prior": "rbm", "left": 8, "negative": "exact", "chains": 5},
                "mnist-vae: chains is a setting of negative=pcd: drop negative=exact",
            ),
            (
                {"prior": "rbm", "rule": "wake-sleep", "kl": "mean-field"},
                "mnist-vae: rule=wake-sleep draws bits, and kl=mean-field is of smoothed ones: drop one",
            ),
            (
                {"prior": "rbm", "rule": "wake-sleep", "groups": 2},
                "mnist-vae: rule=wake-sleep draws x from one group of bits: leave out groups=2",
            ),
        ],
    )
    def test_bad_settings_are_one_sentence(self, values: dict[str, Any], sentence: str) -> None:
        with pytest.raises(UsageError) as caught:
            MnistVae(arch="linear", **values)
        assert str(caught.value) == sentence

    def test_a_task_that_refuses_its_settings_ends_the_run_before_its_first_cell(self, command: Command) -> None:
        done = command("run", "-e", "all", "-t", "mnist-vae:prior=rbm,negative=exact", "--dry-run")
        assert done.refused("set left=12 or negative=pcd")
        assert command("run", "-e", "rloo", "-t", "mnist-vae:arch=categorical,prior=rbm", "--dry-run").code == 0

    def test_either_side_may_be_the_small_one(self) -> None:
        for left in (12, 188):
            task = MnistVae(arch="linear", prior="rbm", negative="exact", left=left)
            made = task.model(0)
            assert made.boltzmann is not None and made.boltzmann.weight.shape == (left, 200 - left)
