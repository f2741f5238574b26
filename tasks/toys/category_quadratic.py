"""A random quadratic of one categorical variable: the toy of Hooper & Shekhovtsov for bias and variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class CategoryQuadratic(Toy):
    """f(z) = |Q z|² + b · z at one-hot z of K classes and on their relaxation, with standard normal Q [K, K], b and
    logits.

    An instance draws Q, b and the logits in this order, in float32, from torch's generator at its number: the instances
    of the paper are 0 and 1.
    """

    name = "category-quadratic"
    layer = "categorical 1x{k}"
    hyperparameters = {
        "k": {"default": 8, "min": 2, "max": 1000, "about": "classes"},
        "instance": {"default": 0, "min": 0, "max": 1000000, "about": "seed of Q, b and the logits"},
    }
    sources = ("draws", "clock", "enumeration")
    reference = "Hooper & Shekhovtsov 2026, bias and variance by enumeration"

    k: int
    instance: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.categorical(1, self.k),)
        generator = torch.Generator().manual_seed(self.instance)
        shapes = ((self.k, self.k), (self.k,), (1, self.k))
        self.square, self.linear, logits = (self.constant(torch.randn(s, generator=generator)) for s in shapes)
        self.logits = logits.requires_grad_()

    @property
    def width(self) -> int:
        return self.square.numel()

    def params(self) -> Tensor:
        return self.logits

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        def f(z: Tensor) -> Tensor:
            site = z.squeeze(-2)
            return (site @ self.square.T).square().sum(-1) + site @ self.linear

        return f
