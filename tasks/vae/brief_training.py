"""A small model trained briefly on MNIST and frozen, for toys on real digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ...estimators import estimator
from .binarise import to_batch
from .datasets import Dataset, load_mnist
from .latent_model import LatentModel

IMAGES, STEPS, BATCH = 8, 200, 100

M = TypeVar("M", bound=LatentModel)


def briefly_trained(make: Callable[[Dataset], M], by: str, lr: float) -> tuple[M, Tensor]:
    """The model made for a data set, after STEPS steps of Adam by this estimator, and the IMAGES test digits of
    the toy.

    Both are on the CPU, and the same to the bit for the same data and thread count.
    """
    dataset = load_mnist()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make(dataset)
    trains, optimizer = estimator(by, *model.layers), torch.optim.Adam(model.parameters(), lr)
    for _ in range(STEPS):
        rows = torch.randint(len(dataset.train), (BATCH,), generator=generator)
        x = to_batch(dataset.train[rows], "dynamic", generator)
        latent = model.latent(model.encode(x))
        f, regulariser = model.objective(x, latent, lower=trains.lower(generator)), model.regulariser(latent)
        loss = trains(f, latent, generator)
        optimizer.zero_grad()
        (loss if regulariser is None else loss + regulariser).mean().backward()
        optimizer.step()
    return model, to_batch(dataset.test[:IMAGES], "threshold", generator)
