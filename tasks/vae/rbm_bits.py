"""A VAE with an RBM as prior, small enough to enumerate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy
from .architectures import Architecture
from .boltzmann import Boltzmann
from .model import Vae

PIXELS = 6


class RbmBits(Toy):
    """The negative ELBO of one image of 6 pixels under a linear decoder of d + d bits, whose prior is an RBM.

    f(z) = -log p(x given z) - b · z - z₁ᵀ W z₂ + log q(z), q detached, and log Z is the analytic part of the loss. The
    gradients in the logits, in the decoder and in (b, W), the group `prior`, are enumerated over all z.
    """

    name = "rbm-bits"
    layer = "bernoulli {d}+{d}"
    hyperparameters = {"d": {"default": 4, "min": 1, "max": 6, "about": "bits on each side of the RBM"}}
    reference = "Rolfe 2017, Discrete variational autoencoders"

    d: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        spec = LatentSpec.bernoulli(2 * self.d)
        with torch.random.fork_rng(devices=[]):
            rbm = partial(Boltzmann, self.d, self.d, "exact")
            vae = Vae(Architecture((spec,)), torch.full((PIXELS,), 0.5), "sampled", boltzmann=rbm)
        self.layers, self.vae = vae.layers, vae.to(self.device, self.dtype)
        with torch.no_grad():
            for seed, parameter in enumerate(self.vae.parameters(), 3):
                parameter.copy_(self.random(*parameter.shape, seed=seed))
        self.logits = self.random(2 * self.d, seed=1).requires_grad_()
        self.x = (self.random(PIXELS, seed=2) > 0).to(self.dtype)

    def params(self) -> Tensor:
        return self.logits

    def groups(self) -> dict[str, list[Tensor]]:
        return {"prior": list(self.vae.prior_parameters()), "decoder": list(self.vae.decoder.parameters())}

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, lower=lower)

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, bound=True)

    def regulariser(self, latent: Latent) -> Tensor | None:
        return self.vae.regulariser(latent)
