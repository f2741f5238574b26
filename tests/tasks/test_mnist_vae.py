"""Architectures, priors, optimisers and schedules of `mnist-vae`, against enumeration and formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.architectures import ARCHITECTURES, Architecture
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from dvae_bench.tasks.vae.optimisers import make_optimizer, rate_factor
from torch import nn


def widths(network: nn.Sequential) -> list[int]:
    layers = [module for module in network if isinstance(module, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


class TestArchitectures:
    def test_every_architecture_is_offered(self) -> None:
        assert set(MnistVae.hyperparameters["arch"]["choices"]) == set(ARCHITECTURES)

    @pytest.mark.parametrize(
        ("values", "encoder", "activation"),
        [
            ({"arch": "nonlinear-lrelu"}, [784, 200, 200, 200], "LeakyReLU(negative_slope=0.3)"),
            ({"arch": "hooper"}, [784, 512, 256, 8 * 64], "LeakyReLU(negative_slope=0.2)"),
            ({"arch": "hooper", "n": 128, "k": 4}, [784, 512, 256, 128 * 4], "LeakyReLU(negative_slope=0.2)"),
            ({"arch": "reinmax"}, [784, 512, 256, 30 * 10], "ReLU()"),
            ({"arch": "linear", "n": 20}, [784, 20], "Linear(in_features=784, out_features=20, bias=True)"),
            ({"arch": "categorical", "k": 4}, [784, 200, 200, 80], "Tanh()"),
        ],
    )
    def test_networks_have_the_stated_widths_and_activations(
        self, values: dict[str, Any], encoder: list[int], activation: str
    ) -> None:
        task = MnistVae(**values)
        vae = task.model(0)
        assert widths(vae.encoder) == encoder and widths(vae.decoder) == encoder[::-1]
        assert repr(vae.encoder[min(1, len(vae.encoder) - 1)]) == activation
        assert task.layers == (task.spec,) and math.prod(task.spec.param_shape) == encoder[-1]

    @pytest.mark.parametrize(("values", "fix"), [({"k": 4}, "leave k out"), ({"arch": "hooper", "k": 1}, "at least 2")])
    def test_bad_sizes_name_the_fix(self, values: dict[str, Any], fix: str) -> None:
        with pytest.raises(UsageError, match=fix):
            MnistVae(**values)

    def test_the_mean_image_is_subtracted_and_the_output_bias_left_out_on_request(self) -> None:
        plain, other = (
            MnistVae(arch="linear").model(0),
            MnistVae(arch="linear", demean="yes", output_bias="no").model(0),
        )
        x = torch.rand(3, 784)
        mean = MnistVae(arch="linear").data_mean
        torch.testing.assert_close(other.encode(x), plain.encode(x - mean))
        assert not torch.allclose(other.encode(x), plain.encode(x))
        assert (
            float(other.decoder[-1].bias.detach().abs().max())
            < 200**-0.5
            < float(plain.decoder[-1].bias.detach().abs().max())
        )


@pytest.mark.parametrize("spec", [LatentSpec.bernoulli(5), LatentSpec.categorical(2, 3)], ids=str)
class TestTrainedPrior:
    def vae(self, spec: LatentSpec, **values: Any) -> Vae:
        torch.manual_seed(0)
        vae = Vae(Architecture((spec,)), torch.rand(784), trained_prior=True, **values).double()
        assert vae.prior is not None
        nn.init.normal_(vae.prior)
        return vae

    def test_kl_is_the_enumerated_one_with_its_gradients(self, spec: LatentSpec) -> None:
        vae = self.vae(spec)
        assert vae.prior is not None
        params = torch.randn(4, *spec.param_shape, dtype=torch.float64).requires_grad_()
        latent, prior = vae.latent(params), vae.latent(vae.prior.expand_as(params))
        z = latent.support()
        log_q, log_p = latent.log_prob(z), prior.log_prob(z)
        exact, ours = (log_q.exp() * (log_q - log_p)).sum(0), vae.regulariser(latent)
        assert ours is not None
        torch.testing.assert_close(ours, exact)
        assert not torch.allclose(latent.kl_to_prior(), exact), "the uniform prior's KL would pass this test"
        for one, other in zip(
            *(torch.autograd.grad(kl.sum(), [params, vae.prior], retain_graph=True) for kl in (ours, exact)),
            strict=True,
        ):
            torch.testing.assert_close(one, other)

    def test_sampled_kl_and_energy_hold_the_prior(self, spec: LatentSpec) -> None:
        """E_q of the sampled f less that of the plain one is the KL; -f - log q of a bound is the log weight."""
        vae = self.vae(spec, kl="sampled")
        x = torch.rand(4, 784, dtype=torch.float64)
        latent = vae.latent(vae.encode(x))
        z = latent.support()
        weights = latent.log_prob(z).exp()
        extra = (weights * (vae.objective(x, latent)(z) - vae.reconstruction(x, z))).sum(0)
        torch.testing.assert_close(extra, vae.kl_to_prior(latent))
        energy = vae.objective(x, latent, bound=True)(z)
        torch.testing.assert_close(-energy - latent.log_prob(z), vae.log_weight(x, latent)(z))

    def test_a_trained_prior_starts_uniform(self, spec: LatentSpec) -> None:
        vae = Vae(Architecture((spec,)), torch.rand(784), trained_prior=True)
        latent = vae.latent(torch.randn(4, *spec.param_shape))
        torch.testing.assert_close(vae.kl_to_prior(latent), latent.kl_to_prior())


class TestSchedules:
    def test_a_constant_rate_stays(self) -> None:
        assert [rate_factor("constant", 0, step, 10) for step in (1, 5, 10)] == [1, 1, 1]

    def test_warm_up_is_linear_whatever_follows(self) -> None:
        for schedule in ("constant", "step", "cosine"):
            assert [rate_factor(schedule, 4, step, 100) for step in (1, 2, 4)] == [0.25, 0.5, 1]

    def test_cosine_ends_at_zero(self) -> None:
        rates = [rate_factor("cosine", 10, step, 110) for step in range(10, 111)]
        assert rates[0] == 1 and rates[50] == pytest.approx(0.5) and rates[-1] == pytest.approx(0, abs=1e-12)
        assert rates == sorted(rates, reverse=True)

    def test_the_step_schedule_decays_tenfold_twice(self) -> None:
        rates = [rate_factor("step", 0, step, 8) for step in range(1, 9)]
        assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])

    def test_the_stages_are_those_of_the_published_code(self) -> None:
        rates = [rate_factor("stages", 0, step, 100) for step in (1, 2, 3, 60, 61, 75, 76, 95, 96, 100)]
        assert rates == pytest.approx([0.1, 0.1, 1, 1, 1 / 3, 1 / 3, 0.1, 0.1, 1 / 33, 1 / 33])

    def test_a_warm_up_may_be_longer_than_the_run(self) -> None:
        assert [rate_factor("cosine", 20, step, 10) for step in (5, 10)] == [0.25, 0.5]


class TestOptimisers:
    @pytest.mark.parametrize(
        ("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("radam", "RAdam"), ("sgd", "SGD")]
    )
    def test_the_first_step_of_each_optimiser_is_the_formulas(self, name: str, kind: str) -> None:
        """Adam and AdamW move by the rate along the sign, SGD and RAdam at first by rate times gradient, decayed."""
        weight, gradient, lr, decay = 2.0, 0.5, 0.1, 0.3
        parameter = nn.Parameter(torch.tensor([weight]))
        optimizer = make_optimizer(name, [parameter], lr, decay)
        assert type(optimizer).__name__ == kind and optimizer.defaults.get("fused", False) == (name != "radam")
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        decayed = gradient + decay * weight
        moved = {"adam": lr, "adamw": lr + lr * decay * weight, "radam": lr * decayed, "sgd": lr * decayed}
        assert float(parameter.detach()) == pytest.approx(weight - moved[name], rel=1e-5)

    @pytest.mark.parametrize("name", ["adam", "adamw"])
    def test_eps_shortens_the_first_step(self, name: str) -> None:
        """Its length is lr |g| / (|g| + ε)."""
        task = MnistVae(arch="linear", optimizer=name, eps=1.5)
        assert task.make_optimizer(task.model(0)).defaults["eps"] == 1.5
        parameter = nn.Parameter(torch.tensor([2.0]))
        optimizer = make_optimizer(name, [parameter], 0.1, eps=1.5)
        parameter.grad = torch.tensor([0.5])
        optimizer.step()
        assert 2 - float(parameter.detach()) == pytest.approx(0.1 * 0.5 / 2, rel=1e-5)

    def test_sgd_has_no_eps(self) -> None:
        with pytest.raises(UsageError, match="sgd has none"):
            MnistVae(optimizer="sgd", eps=1e-3)

    @pytest.mark.parametrize("arch", ["linear", "two-layer-linear"])
    def test_a_prior_with_its_own_rate_is_trained_by_plain_sgd(self, arch: str) -> None:
        """Plain SGD, at its own rate whatever the schedule, and the optimiser has all the others."""
        task = MnistVae(arch=arch, n=20, batch=8, kl="sampled", prior="trainable", prior_lr=0.3, warmup=1000)
        step = TrainStep(task, build("reinforce", *task.layers), seed=0)
        step.set_learning_rate(0.0)
        prior = step.vae.trained_prior
        assert prior is not None
        x, start = next(task.batches(stream(0, "data"))), prior.detach().clone()
        before = {name: tensor.clone() for name, tensor in step.vae.state_dict().items()}
        twin, twins = task.model(0), build("reinforce", *task.layers)
        latent, generator = twin.latent(twin.encode(x)), stream(0, "sample")
        loss = twins(twin.objective(x, latent, lower=twins.lower(generator)), latent, generator).mean()
        (gradient,) = torch.autograd.grad(loss, [twin.trained_prior])
        step(x)
        torch.testing.assert_close(prior.detach(), start - 0.3 * gradient)
        moved = {name for name, tensor in step.vae.state_dict().items() if not torch.equal(tensor, before[name])}
        assert moved == {"deeper.prior" if "two" in arch else "prior"} and prior.grad is None
        held = {id(p) for group in step.optimizer.param_groups for p in group["params"]}
        assert held == {id(p) for p in step.vae.parameters()} - {id(prior)}

    def test_a_fixed_prior_has_no_rate(self) -> None:
        with pytest.raises(UsageError, match="add prior=trainable"):
            MnistVae(prior_lr=0.1)

    def test_a_task_makes_the_optimiser_it_was_asked_for(self) -> None:
        task = MnistVae(arch="linear", optimizer="sgd", lr=0.01, weight_decay=1e-4, schedule="cosine", warmup=5)
        optimizer = task.make_optimizer(task.model(0))
        assert optimizer.defaults["momentum"] == 0.9 and optimizer.defaults["weight_decay"] == 1e-4
        assert task.learning_rate(5, 100) == 0.01 and task.learning_rate(100, 100) == pytest.approx(0, abs=1e-12)
