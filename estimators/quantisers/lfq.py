"""Lookup-free quantisation: every component of an encoding becomes its sign."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from ..contract import Estimate
from ..latents import Encodings, LatentSpec, Objective
from .parts import passed_on
from .quantiser import Quantiser


class Lfq(Quantiser):
    """f(sign(e)) + w Σ_i [H(p_i) + Σ_d p_id log u_d + (1 - p_id) log(1 - u_d)],  p_id = σ(4 s e_id),  ∂sign(e)/∂e := 1.

    p is softmax(-s (e ∓ 1)²) over the two signs: small entropy for each encoding, large entropy for the mean over all
    data. The mean in the published -H(E p) is here the moving average u of p over training (decay .99), so that
    replicates stay independent, and its bits are taken as independent. The model's codebook is not used: the 2^D codes
    are its own.
    """

    formula = (
        r"\ell = f(\operatorname{sign}(e)) + w \sum_i \Big[H(p_i) + \sum_d p_{id} \log u_d + (1 - p_{id}) "
        r"\log(1 - u_d)\Big],\quad p_{id} = \sigma(4 s e_{id}),\ \partial \operatorname{sign}(e) / \partial e "
        r":= 1"
    )
    name = "lfq"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {
        "weight": {"default": 0.1, "min": 0.0, "about": "weight of the entropy loss"},
        "inverse_temperature": {
            "default": 100.0,
            "above": 0.0,
            "about": "sharpness of the soft signs in the entropy loss",
        },
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Yu et al. 2024, Language model beats diffusion: tokenizer is key to visual generation, section 3.1"
    DECAY = 0.99

    weight: float
    inverse_temperature: float
    usage: Tensor

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.register_buffer("usage", torch.full(spec.event_shape[1:], 0.5))

    @property
    def codes(self) -> int:
        return int(2 ** self.spec.event_shape[1])

    def quantise(self, latent: Encodings) -> Tensor:
        return torch.where(latent.params > 0, 1.0, -1.0).to(latent.params)

    def indices(self, latent: Encodings) -> Tensor:
        """The signs as the bits of a number, the first the lowest."""
        return ((latent.params > 0).long() << self._bits(latent.params)).sum(-1)

    def vectors(self, indices: Tensor, latent: Encodings) -> Tensor:
        return ((indices.unsqueeze(-1) >> self._bits(indices) & 1) * 2 - 1).to(latent.params.dtype)

    def _bits(self, like: Tensor) -> Tensor:
        return torch.arange(self.spec.event_shape[1], device=like.device)

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        """σ(4 s e), [*batch, N, D]."""
        return (4 * self.inverse_temperature * latent.params.detach()).sigmoid()

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        e = latent.params
        logits = 4 * self.inverse_temperature * e
        eps = torch.finfo(self.usage.dtype).eps
        usage = torch.logit(self.usage, eps)
        p = logits.sigmoid()
        entropy = softplus(logits) - p * logits
        balance = p * usage - softplus(usage)
        return Estimate(passed_on(f, self.quantise(latent), e) + self.weight * (entropy + balance).sum((-2, -1)))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.usage.lerp_(draw.flatten(0, -2).mean(0).to(self.usage.dtype), 1 - self.DECAY)
