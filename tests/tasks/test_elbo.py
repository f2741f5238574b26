"""The ELBO in both forms of section 1.4 of the seed document, and its gap to log p(x)."""

from __future__ import annotations

import pytest
import torch
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.bounds import elbo_parts
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae

SPECS = {
    "bernoulli": LatentSpec.bernoulli(5),
    "categorical": LatentSpec.categorical(2, 3),
    "gaussian": LatentSpec.continuous("gaussian", 3, 2),
}


def model(kind: str, **options: str) -> tuple[Vae, torch.Tensor]:
    torch.manual_seed(0)
    vae = Vae(Architecture((SPECS[kind],), (7,)), torch.rand(784), **options).double()
    return vae, torch.rand(6, 784, dtype=torch.float64).round()


@pytest.mark.parametrize("kind", SPECS)
def test_joint_minus_log_q_is_reconstruction_minus_kl(kind: str) -> None:
    """log p(x, z) - log q(z given x), and log p(x given z) - [log q(z given x) - log p(z)], at the same draws."""
    vae, x = model(kind, kl="sampled")
    latent = vae.latent(vae.encode(x))
    z = latent.sample(1, torch.Generator().manual_seed(1))
    joint = vae.log_weight(x, latent)(z)[0]
    torch.testing.assert_close(joint, -vae.reconstruction(x, z)[0] - vae.divergence(latent, z))
    torch.testing.assert_close(joint, elbo_parts(vae, x, torch.Generator().manual_seed(1))["elbo"])


@pytest.mark.parametrize("kind", SPECS)
def test_training_descends_minus_the_elbo(kind: str) -> None:
    """f + regulariser at the draws of the evaluation, KL analytic and sampled."""
    for kl in ("analytic", "sampled"):
        vae, x = model(kind, kl=kl)
        latent = vae.latent(vae.encode(x))
        z = latent.sample(1, torch.Generator().manual_seed(1))
        loss, regulariser = vae.objective(x, latent)(z)[0], vae.regulariser(latent)
        assert (regulariser is None) == (kl == "sampled")
        loss = loss if regulariser is None else loss + regulariser
        torch.testing.assert_close(-loss, elbo_parts(vae, x, torch.Generator().manual_seed(1))["elbo"])


def test_the_squared_distance_reports_no_elbo() -> None:
    images = {}
    for likelihood in ("bernoulli", "l2"):
        task = MnistVae(arch="linear", likelihood=likelihood)
        x = task.evaluation_images(task.test, 3)
        images[likelihood] = task.metrics(task.model(0), x, torch.Generator().manual_seed(0), samples=2)
    assert images["bernoulli"].keys() == {"elbo", "reconstruction", "kl", "active_units", "iw", "gap"}
    assert images["l2"].keys() == {"loss", "reconstruction", "kl", "active_units"}
    vae = MnistVae(arch="linear", likelihood="l2").model(0)
    z = vae.latent(vae.encode(x)).sample(1, torch.Generator().manual_seed(0))
    expected = (vae.decoder(z[0]).sigmoid() - x).square().sum(-1)
    torch.testing.assert_close(images["l2"]["reconstruction"], expected)


def test_the_l2_surrogate_takes_the_place_of_the_kl_and_the_elbo_stays_one() -> None:
    vae, x = model("gaussian", kl="l2")
    latent = vae.latent(vae.encode(x))
    loc, log_scale = latent.params.unbind(-1)
    torch.testing.assert_close(vae.regulariser(latent), (loc**2 + (log_scale.exp() - 1) ** 2).sum(-1))
    parts = elbo_parts(vae, x, torch.Generator().manual_seed(1))
    torch.testing.assert_close(parts["kl"], latent.kl_to_prior())
    torch.testing.assert_close(parts["elbo"], -parts["reconstruction"] - latent.kl_to_prior())


def test_only_gaussians_have_an_l2_surrogate() -> None:
    with pytest.raises(UsageError, match="arch=gaussian"):
        MnistVae(arch="linear", kl="l2")
