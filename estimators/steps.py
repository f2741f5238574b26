"""Counting the training steps that hyper-parameters move with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Steps(nn.Module):
    """How many training steps there were: the calls in train() or, from the first `step()` on, the calls of `step()`.

    counted is 1 from then on, else 0; as a buffer, so that a training that resumes knows it without waiting for the
    device.
    """

    number: Tensor
    counted: Tensor

    def __init__(self, dtype: torch.dtype = torch.long) -> None:
        super().__init__()
        for count in ("number", "counted"):
            self.register_buffer(count, torch.zeros((), dtype=dtype))

    def forward(self) -> Tensor:
        return self.number

    def call(self) -> None:
        self.number.add_(1 - self.counted)

    def step(self) -> None:
        self.number.mul_(self.counted).add_(1)
        self.counted.fill_(1)
