"""Samples of an earlier policy: their ratios to the present one."""

from __future__ import annotations

import torch
from torch import Tensor

from ..latents import Sequence


@torch.no_grad()
def ratios(latent: Sequence, z: Tensor, per: str) -> Tensor:
    """q / stale policy of each token, [n, *batch, T], or of the whole sequence, [n, *batch, 1]; 1 for padding."""
    log_ratio = latent.log_probs(z) - latent.behaviour.log_probs(z)
    return (log_ratio if per == "token" else log_ratio.sum(-1, keepdim=True)).exp()
