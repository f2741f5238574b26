"""The reconstruction error of a decoder's logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def reconstruction(logits: Tensor, x: Tensor, likelihood: str) -> Tensor:
    """-log p(x given z) of Bernoulli pixels, or for "l2" ||σ(logits) - x||²: logits [*, batch, 784], x [batch, 784]
    -> [*, batch].
    """
    if likelihood == "l2":
        return (logits.sigmoid() - x).square().sum(-1)
    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
