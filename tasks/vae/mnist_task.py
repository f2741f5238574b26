"""Training on MNIST: the images, their minibatches and the optimiser, whatever the model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from ..contract import Task
from .binarise import prepare, to_batch
from .datasets import load_mnist
from .latent_model import LatentModel


class MnistTask(Task):
    """Abstract: a model trained on MNIST with fused Adam; the concrete ones have the hyper-parameters named here."""

    binarisation: str
    split: str
    batch: int
    lr: float

    def __init__(self, device: str | torch.device = "cpu", **values: Any) -> None:
        super().__init__(**values)
        self.device = torch.device(device)
        dataset = load_mnist(self.split)
        self.data, self.data_mean = dataset.name, dataset.mean
        prepared = prepare(dataset, self.binarisation, seed=0).to(self.device)
        self.train, self.test = prepared.train, prepared.test
        splits = {"train": prepared.train, "test": prepared.test, "valid": prepared.valid}
        self.evaluated = {split: images for split, images in splits.items() if len(images)}

    @abstractmethod
    def model(self, seed: int) -> LatentModel:
        """A freshly initialised model, the same for every estimator at one seed."""

    @abstractmethod
    def figures(self, model: Any, x: Tensor, generator: Generator, samples: int = 0) -> dict[str, Tensor]:
        """What an evaluation reports of images x [images, 784]: a number each, [images], or one of them all, [].

        samples: how many draws the importance-weighted bound may take; 0 leaves out what needs it.
        """

    def optimizer(self, model: LatentModel) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.lr, fused=True)

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
