"""Full VAE training on MNIST."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import LatentSpec
from ...estimators.names import UsageError
from .bounds import elbo_parts, importance_weighted
from .mnist_task import MnistTask
from .model import Vae

ARCHITECTURES: dict[str, tuple[LatentSpec, tuple[int, ...]]] = {
    "linear": (LatentSpec.bernoulli(200), ()),
    "nonlinear": (LatentSpec.bernoulli(200), (200, 200)),
    "categorical": (LatentSpec.categorical(20, 10), (200, 200)),
    "gaussian": (LatentSpec.continuous("gaussian", 20, 2), (200, 200)),
}


class MnistVae(MnistTask):
    """A VAE of one stochastic layer with a fixed prior, trained on MNIST with fused Adam.

    arch: `linear` 784-200-784 and `nonlinear` 784-200-200-200-200-200-784 (tanh) have 200 bits; `categorical` has 20
    sites of 10 classes between the nonlinear networks, `gaussian` 20 means and log scales.
    kl, likelihood: as in `Vae`; "l2" trains no bound as kl, and as likelihood reports none.
    """

    name = "mnist-vae"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "arch": {"default": "nonlinear", "choices": ("linear", "nonlinear", "categorical", "gaussian")},
        "kl": {"default": "analytic", "choices": ("analytic", "sampled", "l2")},
        "likelihood": {"default": "bernoulli", "choices": ("bernoulli", "l2")},
        "binarisation": {
            "default": "dynamic",
            "choices": ("dynamic", "static-seeded", "static-larochelle", "threshold", "none"),
        },
        "split": {"default": "60k/10k", "choices": ("60k/10k", "50k/10k/10k")},
        "batch": {"default": 100, "min": 1, "max": 10000},
        "lr": {"default": 1e-3, "above": 0.0},
    }
    reference = (
        "linear and nonlinear: Tucker et al. 2017, section 5.2; categorical 20x10: Jang et al. 2017, section 4; "
        "gaussian: Kingma & Welling 2014, appendix C"
    )

    arch: str
    kl: str
    likelihood: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.spec, self.hidden = ARCHITECTURES[self.arch]
        self.layers = (self.spec,)
        if self.kl == "l2" and self.spec.family != "gaussian":
            raise UsageError("mnist-vae: kl=l2 is of means and scales; it needs arch=gaussian")

    def model(self, seed: int) -> Vae:
        """A freshly initialised model, the same for every estimator at one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Vae(self.spec, self.hidden, self.data_mean, self.kl, self.likelihood).to(self.device)

    def figures(
        self, model: Vae, x: Tensor, generator: Generator, samples: int = 0, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """The ELBO with its two parts by one draw of z; with `samples` log p(x) by importance sampling, and its gap."""
        found = elbo_parts(model, x, generator)
        if self.likelihood == "l2":
            return {"loss": -found["elbo"], "reconstruction": found["reconstruction"], "kl": found["kl"]}
        if samples:
            found["iw"] = importance_weighted(model, x, samples, generator)
            found["gap"] = found["iw"] - found["elbo"]
        return found
