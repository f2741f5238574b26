"""The likelihoods of pixels against formulas written out, and the Gaussian VAE against enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.logits_gradients import logits_draws
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.latents import LatentSpec, expectation
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.bounds import importance_weighted
from dvae_bench.tasks.vae.likelihood import LEAST_VARIANCE, GaussianPixels, Likelihood
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from torch import Tensor

Z_MAX = 5.0
BITS, PIXELS = 3, 7
ARCHITECTURE = Architecture((LatentSpec.bernoulli(BITS),))


def model(variance: float, kl: str = "analytic") -> tuple[Vae, Tensor]:
    torch.manual_seed(0)
    mean = torch.rand(PIXELS)
    vae = Vae(ARCHITECTURE, mean, kl=kl, likelihood="gaussian", variance=variance)
    if isinstance(vae.likelihood, GaussianPixels) and vae.likelihood.b is not None:
        with torch.no_grad():
            vae.likelihood.b.copy_(torch.linspace(-9, 1, PIXELS))
    return vae.double(), torch.rand(4, PIXELS, dtype=torch.float64)


def log_joint_and_q(vae: Vae, x: Tensor, variance: float) -> tuple[Tensor, Tensor]:
    """log p(x, z) and log q(z given x) of all z, [2^BITS, images], by torch.distributions."""
    z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * BITS)
    assert isinstance(vae.likelihood, GaussianPixels)
    b = vae.likelihood.b
    v = torch.full((PIXELS,), variance).double() if b is None else (1 + b.exp()).log().clamp(min=LEAST_VARIANCE)
    pixels = torch.distributions.Normal(vae.decoder(z).unsqueeze(1), v.sqrt())
    q = torch.distributions.Bernoulli(logits=vae.encoder(x))
    log_q = q.log_prob(z.unsqueeze(1)).sum(-1)
    return pixels.log_prob(2 * x - 1).sum(-1) - BITS * math.log(2), log_q


@pytest.mark.parametrize("variance", [0.0, 0.3])
@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_the_gaussian_elbo_and_its_gradients_are_the_enumerated_ones(variance: float, kl: str) -> None:
    vae, x = model(variance, kl)
    log_joint, log_q = log_joint_and_q(vae, x, variance)
    exact = (log_q.exp() * (log_q - log_joint)).sum(0)
    latent = vae.latent(vae.encode(x))
    regulariser = vae.regulariser(latent)
    ours = expectation(vae.objective(x, latent), latent) + (0 if regulariser is None else regulariser)
    torch.testing.assert_close(ours, exact)
    parameters = list(vae.parameters())
    assert len(parameters) == (4 if variance else 5)
    found, expected = (torch.autograd.grad(loss.sum(), parameters, retain_graph=True) for loss in (ours, exact))
    torch.testing.assert_close(found, expected)
    assert all(gradient.abs().max() > 0 for gradient in found)


def test_many_draws_reach_the_likelihood() -> None:
    vae, x = model(0.3)
    with torch.no_grad():
        log_joint, log_q = log_joint_and_q(vae, x, 0.3)
    exact, n = log_joint.logsumexp(0), 4000
    error = ((2 * (log_joint - exact) - log_q).exp().sum(0) - 1).sqrt() / n**0.5
    many = importance_weighted(vae, x, n, stream(0, "evaluation"))
    assert ((many - exact).abs() < Z_MAX * error).all()


@pytest.mark.parametrize("name", ["disarm", "rebar"])
def test_estimators_have_the_exact_mean(name: str) -> None:
    vae, x = model(0.3)
    params = vae.encode(x).detach().requires_grad_()
    latent = vae.latent(params)
    (exact,) = torch.autograd.grad(expectation(vae.objective(x, latent), latent).mean(), params)
    draws = logits_draws(vae, build(name, vae.spec).double().eval(), x, 4000, stream(0, "sample"))
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact) / error).abs().max() < Z_MAX < (exact / error).abs().max()


class WithoutConstant(GaussianPixels):
    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        return super().error(outputs, x) - x.shape[-1] * math.log(2 * math.pi) / 2


class OfStandardDeviations(GaussianPixels):
    """v is taken for the standard deviation."""

    @property
    def variance(self) -> Tensor:
        return super().variance.square()


class OnTheUnitInterval(GaussianPixels):
    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        return super().error(outputs, (x + 1) / 2)


@pytest.mark.parametrize("twin", [WithoutConstant, OfStandardDeviations, OnTheUnitInterval])
@pytest.mark.parametrize("variance", [0.0, 0.3])
def test_a_wrong_density_is_caught(twin: type[Likelihood], variance: float) -> None:
    vae, x = model(variance)
    exact = (lambda log_joint, log_q: (log_q.exp() * -log_joint).sum(0))(*log_joint_and_q(vae, x, variance))

    def energy() -> Tensor:
        latent = vae.latent(vae.encode(x))
        return expectation(vae.objective(x, latent, bound=True), latent)

    torch.testing.assert_close(energy(), exact)
    vae.likelihood.__class__ = twin
    assert not torch.allclose(energy(), exact, rtol=1e-3)


def test_a_pixel_that_never_changes_keeps_a_density() -> None:
    pixels = GaussianPixels(2)
    assert pixels.b is not None
    torch.testing.assert_close(pixels.variance, torch.full((2,), math.log1p(math.exp(-0.5))))
    with torch.no_grad():
        pixels.b.fill_(-50.0)
    torch.testing.assert_close(pixels.variance, torch.full((2,), LEAST_VARIANCE))
    expected = math.log(2 * math.pi * LEAST_VARIANCE)
    assert pixels.error(torch.ones(2), torch.ones(1, 2)).item() == pytest.approx(expected)


def test_training_on_grey_levels_descends_and_reports_bounds() -> None:
    task = MnistVae(arch="linear", n=20, batch=16, likelihood="gaussian", binarisation="none")
    step, batches = TrainStep(task, build("rloo", *task.layers), seed=0), task.batches(stream(0, "data"))
    start = task.model(0)
    torch.testing.assert_close(start.pixel_means(torch.zeros(1, 20))[0], task.data_mean)
    losses = [float(step(next(batches)).mean()) for _ in range(60)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 50, "in nats, of about 770"
    before, after = (part.likelihood.variance for part in (start, step.vae))
    assert after.median() < before.median(), "the margins of the images hardly vary"
    x = task.evaluation_images(task.test, 4)
    found = task.metrics(step.vae, x, stream(0, "evaluation"), samples=5)
    assert {"elbo", "iw", "gap"} <= found.keys()
    torch.testing.assert_close(found["elbo"], -found["reconstruction"] - found["kl"])
    shown = task.images(step.vae, x, stream(0, "images"))
    assert all(image.min() >= 0 and image.max() <= 1 for image in shown.values())


def test_a_variance_without_gaussian_pixels_names_the_fix() -> None:
    with pytest.raises(UsageError, match="add likelihood=gaussian"):
        MnistVae(variance=0.1)
