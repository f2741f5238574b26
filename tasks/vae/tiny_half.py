"""Structured prediction on real digits, small enough to enumerate."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy
from .brief_training import briefly_trained
from .datasets import Dataset, load_mnist
from .structured import StructuredPrediction

DIGITS = 2
LAYERS = {
    "bits": (LatentSpec.bernoulli(4), LatentSpec.bernoulli(3)),
    "classes": (LatentSpec.categorical(2, 3), LatentSpec.categorical(1, 4)),
}


class TinyHalf(Toy):
    """-log p(lower half of a digit) of 2 digits, averaged over two layers of latents drawn from the upper half, as in
    mnist-half:signs=yes, trained 200 steps and frozen.

    Its exact gradients, in the logits, in the encoder, in the network between the layers and in the decoder, are
    enumerated. latents: layers of 4 and 3 bits, or of 2 sites of 3 classes and one of 4.
    """

    name = "tiny-half"
    layer = "latents"
    dataset = "mnist"
    hyperparameters = {
        "latents": {
            "default": "bits",
            "choices": {"bits": "bernoulli 4", "classes": "categorical 2x3"},
            "about": "two layers of bits, or of classes",
        },
    }

    latents: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.data = load_mnist().name
        model, x = trained(self.data, self.latents)
        self.model = copy.deepcopy(model).to(self.device, self.dtype)
        self.layers = self.model.layers
        self.x = self.constant(x[:DIGITS])

    @property
    def width(self) -> int:
        return self.x.numel() - self.x[:, : self.model.upper].numel()

    def params(self) -> Tensor:
        return self.model.encode(self.x)

    def groups(self) -> dict[str, list[Tensor]]:
        between, decoder = self.model.decoder
        networks = {"encoder": self.model.encoder, "between": between, "decoder": decoder}
        return {name: list(network.parameters()) for name, network in networks.items()}

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.model.objective(self.x, latent, lower=lower)


@functools.cache
def trained(data: str, latents: str) -> tuple[StructuredPrediction, Tensor]:
    """The frozen model and its minibatch, on the CPU."""

    def make(dataset: Dataset) -> StructuredPrediction:
        return StructuredPrediction(LAYERS[latents], dataset.mean, dataset.upper, signs=True)

    return briefly_trained(make, by="straight-through", lr=1.5e-3)
