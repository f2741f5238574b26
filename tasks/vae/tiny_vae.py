"""A VAE on real digits small enough to enumerate."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ...estimators.score_function.rloo import Rloo
from ..contract import Lower, Toy
from .architectures import Architecture
from .binarise import to_batch
from .datasets import load_mnist
from .model import Vae

BITS, IMAGES, STEPS, BATCH = 8, 8, 200, 100


class TinyVae(Toy):
    """The negative ELBO of 8 digits under a linear VAE of 8 bits, trained 200 steps and frozen.

    Its exact gradient is enumerated over the 2^8 codes of each digit: at the cut, in the encoder and in the decoder.
    """

    name = "tiny-vae"
    layer = "bernoulli 8"
    dataset = "mnist"
    hyperparameters = {"kl": {"default": "analytic", "choices": ("analytic", "sampled")}}

    kl: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.bernoulli(BITS),)
        self.data = load_mnist().name
        vae, x = trained(self.data)
        self.vae = copy.deepcopy(vae).to(self.device, self.dtype)
        self.vae.kl = self.kl
        self.x = self.constant(x)

    @property
    def width(self) -> int:
        return self.x.numel()

    def params(self) -> Tensor:
        return self.vae.encode(self.x)

    def groups(self) -> dict[str, list[Tensor]]:
        return {
            "encoder": list(self.vae.encoder.parameters()),
            "decoder": list(self.vae.decoder.parameters()),
        }

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent)

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, bound=True)

    def regulariser(self, latent: Latent) -> Tensor | None:
        return self.vae.regulariser(latent)


@functools.cache
def trained(data: str) -> tuple[Vae, Tensor]:
    """The frozen model and its minibatch, on the CPU; the same bits for the same data and thread count."""
    dataset = load_mnist()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = Vae(Architecture((LatentSpec.bernoulli(BITS),)), dataset.mean)
    estimator, optimizer = Rloo(vae.spec, n=4), torch.optim.Adam(vae.parameters(), 1e-2)
    for _ in range(STEPS):
        rows = torch.randint(len(dataset.train), (BATCH,), generator=generator)
        x = to_batch(dataset.train[rows], "dynamic", generator)
        latent = vae.latent(vae.encode(x))
        loss = estimator(vae.objective(x, latent), latent, generator) + latent.kl_to_prior()
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return vae, to_batch(dataset.test[:IMAGES], "threshold", generator)
