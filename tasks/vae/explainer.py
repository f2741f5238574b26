"""An explainer: the k pixels of a digit from which the answer of a classifier can be told."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...estimators.contract import Lower
from ...estimators.latents import Latent, LatentSpec, Objective, Subset
from .binarise import to_batch
from .datasets import load_mnist
from .labels import load_labels
from .latent_model import LatentModel
from .model import mlp

PIXELS = 784
HIDDEN, DIGITS = 200, 10
STEPS, BATCH, RATE = 600, 100, 1e-3


class Explainer(LatentModel):
    """f(z) = -Σ_y p(y given x) log q(y given x ∘ z), the cross-entropy of a classifier p of the whole digit x and a
    decoder q that sees k pixels of it, chosen by z. The classifier is trained beforehand and frozen.
    """

    def __init__(self, k: int, classifier: nn.Module) -> None:
        super().__init__()
        self.spec = LatentSpec.subset(PIXELS, k)
        self.encoder = mlp(PIXELS, HIDDEN, HIDDEN, PIXELS)
        self.decoder = mlp(PIXELS, HIDDEN, DIGITS)
        self.classifier = classifier.requires_grad_(False)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def latent(self, params: Tensor) -> Subset:
        return Subset(params, self.spec.chosen)

    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        answer = self.classifier(x).softmax(-1)
        return lambda z: -(answer * self.decoder(z * x).log_softmax(-1)).sum(-1)

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        return None

    def agrees(self, x: Tensor, z: Tensor) -> Tensor:
        """Whether classifier and decoder name the same digit, [*]: z [*, batch, 784], x [batch, 784]."""
        return self.decoder(z * x).argmax(-1) == self.classifier(x).argmax(-1)


@functools.cache
def classifier() -> nn.Module:
    """784-200-10 with tanh, trained for STEPS steps of Adam on MNIST's training images, on the CPU; always the same.

    Raises as `load_labels`.
    """
    labels, images = load_labels(), load_mnist().train
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = mlp(PIXELS, HIDDEN, DIGITS)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(STEPS):
        rows = torch.randint(len(images), (BATCH,), generator=generator)
        loss = cross_entropy(model(to_batch(images[rows], "none")), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
