"""The reconstruction error of a decoder's logits."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

TOGETHER = 16


def reconstruction(logits: Tensor, x: Tensor, likelihood: str) -> Tensor:
    """-log p(x given z) of Bernoulli pixels, or for "l2" ||σ(logits) - x||²: logits [*, batch, 784], x [batch, 784]
    -> [*, batch].
    """
    if likelihood == "l2":
        return (logits.sigmoid() - x).square().sum(-1)
    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x given z) of Bernoulli pixels, Σ x l - softplus(l), for bounds of many draws: shapes as above.

    softplus(l) = max(l, 0) - log σ(|l|). The σ(|l|), at least ½, are multiplied TOGETHER at a time before the logarithm
    is taken, which costs more than all else.
    """
    factors = logits.abs().sigmoid_().unflatten(-1, (math.gcd(TOGETHER, logits.shape[-1]), -1)).prod(-2)
    return (x * logits).sum(-1) - logits.relu().sum(-1) + factors.log().sum(-1)
