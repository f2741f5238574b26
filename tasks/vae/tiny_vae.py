"""A VAE on real digits small enough to enumerate."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy
from .architectures import Architecture
from .brief_training import briefly_trained
from .datasets import load_mnist
from .model import Vae

BITS = 8


class TinyVae(Toy):
    """The negative ELBO of 8 digits under a linear VAE of 8 bits, trained 200 steps and frozen.

    Its exact gradients, in the logits, the encoder and the decoder, are enumerated over the 2^8 codes of each digit.
    deeper: bits of a second layer, linear in the first, whose two networks are groups too; 0 leaves it out.
    """

    name = "tiny-vae"
    layer = "bernoulli 8"
    dataset = "mnist"
    hyperparameters = {
        "kl": {
            "default": "analytic",
            "choices": ("analytic", "sampled"),
            "about": "KL in closed form, or sampled inside f",
        },
        "deeper": {"default": 0, "min": 0, "max": 8, "about": "bits of a second layer; 0 leaves it out"},
    }

    kl: str
    deeper: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.data = load_mnist().name
        vae, x = trained(self.data, self.deeper)
        self.vae = copy.deepcopy(vae).to(self.device, self.dtype)
        self.layers = self.vae.layers
        self.x = self.constant(x)
        for part in self.parts():
            part.kl = self.kl

    @property
    def width(self) -> int:
        return self.x.numel()

    def params(self) -> Tensor:
        return self.vae.encode(self.x)

    def groups(self) -> dict[str, list[Tensor]]:
        return {
            prefix + name: list(getattr(part, name).parameters())
            for prefix, part in zip(("", "deeper-"), self.parts(), strict=False)
            for name in ("encoder", "decoder")
        }

    def parts(self) -> list[Vae]:
        """The VAE, and the deeper one inside it."""
        return [self.vae] if self.vae.deeper is None else [self.vae, self.vae.deeper]

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, lower=lower)

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, bound=True)

    def regulariser(self, latent: Latent) -> Tensor | None:
        return self.vae.regulariser(latent)


def architecture(deeper: int) -> Architecture:
    return Architecture(tuple(LatentSpec.bernoulli(bits) for bits in (BITS, deeper) if bits))


@functools.cache
def trained(data: str, deeper: int = 0) -> tuple[Vae, Tensor]:
    """The frozen model and its minibatch, on the CPU."""
    return briefly_trained(lambda dataset: Vae(architecture(deeper), dataset.mean), by="rloo:n=4", lr=1e-2)
