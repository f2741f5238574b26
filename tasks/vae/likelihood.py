"""The reconstruction error of a decoder's logits, and the bias from which a decoder starts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def reconstruction(logits: Tensor, x: Tensor, likelihood: str) -> Tensor:
    """-log p(x given z) of Bernoulli pixels, or for "l2" ||σ(logits) - x||²: logits [*, batch, pixels], x [batch,
    pixels] -> [*, batch].
    """
    if likelihood == "l2":
        return (logits.sigmoid() - x).square().sum(-1)
    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


@torch.no_grad()
def start_at(bias: Tensor, mean: Tensor) -> None:
    """Let the output bias of a decoder be the logit of the mean image, both [pixels]."""
    bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))
