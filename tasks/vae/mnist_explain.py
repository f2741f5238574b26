"""Explaining digits by k pixels, as in L2X."""

from __future__ import annotations

import copy

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import LatentSpec
from .explainer import PIXELS, Explainer, classifier
from .mnist_task import MnistTask

CHUNK = 500


class MnistExplain(MnistTask):
    """An encoder chooses k pixels of a digit, from which a decoder predicts what a classifier says of the whole digit
    (`Explainer`). Networks 784-200-200-784 and 784-200-10 with tanh; grey levels; Adam.

    The classifier, 784-200-10, is trained first, on the labels of MNIST's training images, which must lie beside them.
    """

    name = "mnist-explain"
    layer = "subset {k} of 784"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "k": {"default": 20, "min": 1, "max": 784, "about": "pixels that explain a digit"},
        "batch": {"default": 100, "min": 1, "max": 10000, "about": "images per minibatch"},
        "lr": {"default": 0.001, "above": 0.0, "about": "learning rate"},
    }
    reference = (
        "Chen, Song, Wainwright & Jordan 2018, Learning to explain (L2X), with a classifier of MNIST trained here; for "
        "subset estimators Wijk, Vinuesa & Azizpour 2025, SFESS"
    )

    k: int
    binarisation, split = "none", "60k/10k"

    def __init__(self, *args: object, **values: object) -> None:
        super().__init__(*args, **values)  # type: ignore[arg-type]
        self.layers = (LatentSpec.subset(PIXELS, self.k),)

    def model(self, seed: int) -> Explainer:
        """A freshly initialised model, the same for every estimator at one seed. Raises as `classifier`."""
        explained = copy.deepcopy(classifier())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Explainer(self.k, explained).to(self.device)

    @torch.no_grad()
    def metrics(
        self, model: Explainer, x: Tensor, generator: Generator, samples: int = 0, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """ "loss" at a draw of z, and "agreement": whether the decoder names the digit that the classifier names, shown
        the k pixels of the largest logits.
        """
        parts = [self._explained(model, images, generator) for images in x.split(CHUNK)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _explained(self, model: Explainer, x: Tensor, generator: Generator) -> dict[str, Tensor]:
        latent = model.latent(model.encode(x))
        (loss,) = model.objective(x, latent)(latent.sample(1, generator))
        return {"loss": loss, "agreement": model.agrees(x, latent.harden(latent.params)).to(x.dtype)}
