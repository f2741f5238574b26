"""Training on MNIST, or on images in its place: the images, their minibatches and the optimiser, whatever the model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator
from ..contract import Task
from .batches import Batches, check_size
from .binarise import prepare, to_batch
from .datasets import load_mnist
from .latent_model import LatentModel
from .optimisers import make_optimizer, rate_factor
from .prior_training import PriorTraining
from .speed import check_speed


class MnistTask(Task):
    """Abstract: a model trained on MNIST. Concrete tasks declare the hyper-parameters named here; those with a value
    here are optional. rule: `gradient`, the estimator's for all parameters; or `wake-sleep`, the sleep phase for q and
    the estimator for the others. warmup: steps of linear growth of the learning rate, before any schedule. autocast,
    compile, cuda_graphs: the speed paths of training; evaluations use none of them."""

    binarisation: str
    split: str
    batch: int
    lr: float
    rule: str = "gradient"
    optimizer: str = "adam"
    weight_decay: float = 0.0
    eps: float = 1e-8
    schedule: str = "constant"
    warmup: int = 0
    autocast: str = "no"
    compile: str = "no"
    cuda_graphs: str = "no"

    def __init__(self, device: str | torch.device = "cpu", **values: Any) -> None:
        super().__init__(**values)
        self.device = torch.device(device)
        check_speed(self.device, vars(self))
        dataset = load_mnist(self.split)
        self.data, self.data_mean = dataset.name, dataset.mean
        self.image_size, self.upper = (dataset.height, dataset.width), dataset.upper
        prepared = prepare(dataset, self.binarisation, seed=0).to(self.device)
        self.train, self.test = prepared.train, prepared.test
        check_size(self.train, self.batch)
        splits = {"train": prepared.train, "test": prepared.test, "valid": prepared.valid}
        self.evaluated = {split: images for split, images in splits.items() if len(images)}

    @abstractmethod
    def model(self, seed: int) -> LatentModel:
        """A freshly initialised model, the same for every estimator at one seed."""

    def check(self, model: Any, x: Tensor, estimator: Estimator) -> None:
        """Raises Unsupported for an estimator that this task cannot evaluate, tried on images x [batch, 784] before the
        first step; by default for none."""

    def finish(self, model: Any, estimator: Estimator, steps: int, generator: Generator) -> PriorTraining | None:
        """The training that follows the last step, the number `steps`, and needs a frozen model; by default none."""
        return None

    @abstractmethod
    def metrics(
        self, model: Any, x: Tensor, generator: Generator, samples: int = 0, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """The metrics of images x [images, 784]: one number per image, [images], or one for all, [].

        samples: how many draws the importance-weighted bound may take; 0 leaves out what needs it. estimator: the one
        that trains the model, for metrics that depend on it.
        """

    def images(
        self, model: Any, x: Tensor, generator: Generator, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """Images that show a trained model, each [images, 784] in [0, 1]: the "original" x, its "reconstruction" and a
        "sample" if the model has any; none by default. estimator: as in `metrics`."""
        return {}

    def make_optimizer(self, model: Any) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, model.parameters(), self.lr, self.weight_decay, self.eps)

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate at a step, 1 to `steps`, of a run of `steps`."""
        return self.lr * rate_factor(self.schedule, self.warmup, step, steps)

    def batches(self, generator: Generator) -> Batches:
        return Batches(self.train, self.batch, self.binarisation, generator)

    def evaluation_images(self, images: Tensor, count: int) -> Tensor:
        """The first `count` images, binarised by a fixed draw."""
        generator = torch.Generator(self.device).manual_seed(0)
        return to_batch(images[:count], self.binarisation, generator)
