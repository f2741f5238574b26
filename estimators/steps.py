"""Counting the training steps that hyper-parameters move with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Steps(nn.Module):
    """How many training steps there were: the calls in train() or, from the first `step()` on, the calls of `step()`.

    Both counts are buffers, so that training resumes with them.
    """

    calls: Tensor
    steps: Tensor

    def __init__(self, dtype: torch.dtype = torch.long) -> None:
        super().__init__()
        for count in ("calls", "steps"):
            self.register_buffer(count, torch.zeros((), dtype=dtype))

    def forward(self) -> Tensor:
        return torch.where(self.steps > 0, self.steps, self.calls)

    def call(self) -> None:
        self.calls.add_(1)

    def step(self) -> None:
        self.steps.add_(1)
