"""Moving averages that one bad value does not spoil."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def move(average: Tensor, towards: Tensor, decay: float) -> None:
    """average ← decay average + (1 - decay) towards, in place; unchanged where `towards` is not finite.

    A NaN or an infinity would stay in the average for good, after a single step that mixed precision may well skip.
    """
    towards = towards.to(average.dtype)
    average.lerp_(torch.where(towards.isfinite(), towards, average), 1 - decay)
