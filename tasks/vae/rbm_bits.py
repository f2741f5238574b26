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
from .two_groups import TwoGroups

PIXELS = 6


class RbmBits(Toy):
    """The negative ELBO of one image of 6 pixels under a linear decoder of d + d bits, whose prior is an RBM.

    f(z) = -log p(x given z) - b · z - z₁ᵀ W z₂ + log q(z), q detached, and log Z is the analytic part of the loss. The
    gradients in the logits, in the decoder and in (b, W), the group `prior`, are enumerated over all z.

    posterior_groups=2: the logits are those of z₁, and z₂ is drawn given z₁ and x by a linear q₂, the group
    `posterior`; f is that of `TwoGroups`, with the KL of q₂ in closed form.
    """

    name = "rbm-bits"
    layer = "bernoulli {d:*2}"
    hyperparameters = {
        "d": {"default": 4, "min": 1, "max": 6, "about": "bits on each side of the RBM"},
        "posterior_groups": {
            "default": 1,
            "min": 1,
            "max": 2,
            "about": "groups of the posterior; 2 draws one side of the RBM given the other",
        },
    }
    reference = "Rolfe 2017, Discrete variational autoencoders; Vahdat et al. 2018, DVAE++ (posterior_groups=2)"

    d: int
    posterior_groups: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        with torch.random.fork_rng(devices=[]):
            vae = self._vae()
        self.layers, self.vae = vae.layers, vae.to(self.device, self.dtype)
        with torch.no_grad():
            for seed, parameter in enumerate(self.vae.parameters(), 3):
                parameter.copy_(self.random(*parameter.shape, seed=seed))
        self.logits = self.random(*self.layers[0].param_shape, seed=1).requires_grad_()
        self.x = (self.random(PIXELS, seed=2) > 0).to(self.dtype)

    def _vae(self) -> Vae | TwoGroups:
        architecture = Architecture((LatentSpec.bernoulli(2 * self.d),))
        mean, rbm = torch.full((PIXELS,), 0.5), partial(Boltzmann, self.d, self.d, "exact")
        if self.posterior_groups == 2:
            return TwoGroups(architecture, self.d, mean, rbm)
        return Vae(architecture, mean, "sampled", boltzmann=rbm)

    def params(self) -> Tensor:
        return self.logits

    def groups(self) -> dict[str, list[Tensor]]:
        shared: dict[str, list[Tensor]] = {
            "prior": [*self.vae.prior_parameters()],
            "decoder": [*self.vae.decoder.parameters()],
        }
        if isinstance(self.vae, TwoGroups):
            shared["posterior"] = [*self.vae.second.parameters()]
        return shared

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, lower=lower)

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.vae.objective(self.x, latent, bound=True)

    def regulariser(self, latent: Latent) -> Tensor | None:
        return self.vae.regulariser(latent)
