"""Structured prediction on MNIST: the lower half of a digit, given the upper half."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import LatentSpec
from ...estimators.names import UsageError
from .architectures import BITS, Architecture
from .bounds import importance_weighted
from .mnist_task import MnistTask
from .structured import StructuredPrediction

ARCHITECTURES = {
    "two-layer": Architecture((BITS,) * 2),
    "three-layer": Architecture((BITS,) * 3),
    "categorical": Architecture((LatentSpec.categorical(20, 10),) * 2),
}


class MnistHalf(MnistTask):
    """The lower half of a digit, predicted from its upper half through layers of latents, with linear networks between
    them: `two-layer` 392-200-200-392, `three-layer` 392-200-200-200-392, `categorical` 392-(20x10)-(20x10)-392.

    The loss, with its sign changed, is reported as the ELBO: E log p(lower half given the last layer), in which all
    latents are drawn given the upper half. There is no posterior and no KL. The importance-weighted bound of K draws is
    log (1/K) Σ_k p(lower half given draw k).
    n, k: bits, or sites and classes, of each layer. signs: the networks are given pixels and latents as -1 and 1.
    output_bias: as in mnist-vae.
    """

    name = "mnist-half"
    layer = "arch"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "arch": {
            "default": "two-layer",
            "choices": {
                "two-layer": "bernoulli {n:200}",
                "three-layer": "bernoulli {n:200}",
                "categorical": "categorical {n:20}x{k:10}",
            },
            "about": "layers of latents",
        },
        "n": {"default": 0, "min": 0, "max": 10000, "about": "bits, or sites, per layer; 0 keeps those of the arch"},
        "k": {"default": 0, "min": 0, "max": 10000, "about": "classes per site; 0 keeps those of the arch"},
        "signs": {
            "default": "no",
            "choices": ("no", "yes"),
            "about": "whether networks are given -1 and 1 in place of 0 and 1",
        },
        "output_bias": {
            "default": "yes",
            "choices": ("no", "yes"),
            "about": "whether the decoder's bias starts at the mean image",
        },
        "binarisation": {
            "default": "dynamic",
            "choices": ("dynamic", "static-seeded", "static-larochelle", "threshold", "none"),
            "about": "how grey levels become training images",
        },
        "split": {
            "default": "60k/10k",
            "choices": ("60k/10k", "50k/10k/10k"),
            "about": "images to train and test, or to train, validate and test",
        },
        "batch": {"default": 100, "min": 1, "max": 10000, "about": "images per minibatch"},
        "lr": {"default": 1e-3, "above": 0.0, "about": "learning rate"},
        "optimizer": {
            "default": "adam",
            "choices": ("adam", "adamw", "radam", "sgd"),
            "about": "optimizer of all networks",
        },
    }
    reference = (
        "two-layer and categorical: Jang et al. 2017, section 4.1; three-layer: Maddison et al. 2017, section 5.3; "
        "signs: the code of Yin & Zhou 2019"
    )

    arch: str
    n: int
    k: int
    signs: str
    output_bias: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = ARCHITECTURES[self.arch].resized(self.n, self.k).layers
        if not self.upper:
            raise UsageError(f"{self.name} needs an upper half: give images of at least two rows")

    def model(self, seed: int) -> StructuredPrediction:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = StructuredPrediction(
                self.layers, self.data_mean, self.upper, self.signs == "yes", self.output_bias == "yes"
            )
        return model.to(self.device)

    def metrics(
        self,
        model: StructuredPrediction,
        x: Tensor,
        generator: Generator,
        samples: int = 0,
        estimator: Estimator | None = None,
    ) -> dict[str, Tensor]:
        """ "elbo", the bound of one draw; with `samples` also "iw", that of so many, and their difference, "gap"."""
        found = {"elbo": importance_weighted(model, x, 1, generator)}
        if samples:
            found["iw"] = importance_weighted(model, x, samples, generator)
            found["gap"] = found["iw"] - found["elbo"]
        return found

    def images(
        self, model: StructuredPrediction, x: Tensor, generator: Generator, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        return {"original": x, "reconstruction": model.completed(x, generator)}
