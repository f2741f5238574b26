"""Full VAE training on MNIST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.latents import LatentSpec
from ..contract import Task
from .binarise import prepare, to_batch
from .datasets import load_mnist
from .model import Vae

ARCHITECTURES: dict[str, tuple[LatentSpec, tuple[int, ...]]] = {
    "linear": (LatentSpec.bernoulli(200), ()),
    "nonlinear": (LatentSpec.bernoulli(200), (200, 200)),
    "categorical": (LatentSpec.categorical(20, 10), (200, 200)),
}


class MnistVae(Task):
    """A VAE of one discrete layer with a uniform prior, trained on MNIST with fused Adam.

    arch: `linear` 784-200-784 and `nonlinear` 784-200-200-200-200-200-784 (tanh) have 200 bits; `categorical` has 20
    sites of 10 classes between the nonlinear networks.
    """

    name = "mnist-vae"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "arch": {"default": "nonlinear", "choices": ("linear", "nonlinear", "categorical")},
        "kl": {"default": "analytic", "choices": ("analytic", "sampled")},
        "binarisation": {
            "default": "dynamic",
            "choices": ("dynamic", "static-seeded", "static-larochelle", "threshold", "none"),
        },
        "split": {"default": "60k/10k", "choices": ("60k/10k", "50k/10k/10k")},
        "batch": {"default": 100, "min": 1, "max": 10000},
        "lr": {"default": 1e-3, "above": 0.0},
    }
    reference = "linear and nonlinear: Tucker et al. 2017, section 5.2; categorical 20x10: Jang et al. 2017, section 4"

    arch: str
    kl: str
    binarisation: str
    split: str
    batch: int
    lr: float

    def __init__(self, device: str | torch.device = "cpu", **values: Any) -> None:
        super().__init__(**values)
        self.device = torch.device(device)
        self.spec, self.hidden = ARCHITECTURES[self.arch]
        self.layers = (self.spec,)
        dataset = load_mnist(self.split)
        self.data, self.data_mean = dataset.name, dataset.mean
        prepared = prepare(dataset, self.binarisation, seed=0).to(self.device)
        self.train, self.test = prepared.train, prepared.test

    def model(self, seed: int) -> Vae:
        """A freshly initialised model, the same for every estimator at one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Vae(self.spec, self.hidden, self.data_mean, self.kl).to(self.device)

    def optimizer(self, vae: Vae) -> torch.optim.Optimizer:
        return torch.optim.Adam(vae.parameters(), self.lr, fused=True)

    def batches(self, generator: Generator) -> Iterator[Tensor]:
        """Endless minibatches [batch, 784], reshuffled each epoch; the last, smaller one of an epoch is left out."""
        while True:
            order = torch.randperm(len(self.train), generator=generator, device=self.device)
            for rows in order.split(self.batch):
                if len(rows) == self.batch:
                    yield to_batch(self.train[rows], self.binarisation, generator)

    def evaluation_images(self, images: Tensor, count: int) -> Tensor:
        """The first `count` images, binarised by a fixed draw."""
        generator = torch.Generator(self.device).manual_seed(0)
        return to_batch(images[:count], self.binarisation, generator)
