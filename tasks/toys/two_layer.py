"""Two stochastic layers, the lower one inside the upper one's f."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.latents import Bernoulli, Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class TwoLayer(Toy):
    """z₁ ~ Bernoulli(φ), z₂ ~ Bernoulli(c + W z₁), 2 + 2 bits, and f = 3 tanh(v · (z₁, z₂) + a) after a hidden layer.

    The gradients in φ, in c (the sum of the lower layer's logits gradients), in the weights between the layers (W) and
    in the decoder are exact.
    """

    name = "two-layer"
    layer = "bernoulli 2"

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.bernoulli(2), LatentSpec.bernoulli(2))
        self.logits = self.random(2, seed=1).requires_grad_()
        self.bias = self.random(2, seed=2).requires_grad_()
        self.between = self.random(2, 2, seed=3).requires_grad_()
        self.hidden = self.random(4, 3, seed=4).requires_grad_()
        self.output = self.random(3, seed=5).requires_grad_()

    def params(self) -> Tensor:
        return self.logits

    def groups(self) -> dict[str, list[Tensor]]:
        return {"lower-cut": [self.bias], "between": [self.between], "decoder": [self.hidden, self.output]}

    def decode(self, upper: Tensor, lower: Tensor) -> Tensor:
        z = torch.cat([upper.expand(*lower.shape[:-1], 2), lower], -1)
        return 3 * ((z @ self.hidden).tanh() @ self.output)

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        (layer,) = lower
        return lambda z: layer(lambda below: self.decode(z, below), Bernoulli(self.bias + z @ self.between))
