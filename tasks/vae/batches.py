"""Minibatches of images, whose position in the epoch can be saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.names import UsageError
from .binarise import to_batch


def check_size(images: Tensor, size: int) -> None:
    """Raises UsageError if there are fewer than `size` images."""
    if size > len(images):
        raise UsageError(f"batch must be at most {len(images)}, the number of training images, got {size}")


class Batches(Iterator[Tensor]):
    """Endless minibatches [size, 784], reshuffled each epoch; a last, smaller one is left out.

    Raises UsageError if there are fewer than `size` images.
    """

    def __init__(self, images: Tensor, size: int, binarisation: str, generator: Generator) -> None:
        check_size(images, size)
        self.images, self.size, self.binarisation, self.generator = images, size, binarisation, generator
        self.order, self.position = torch.empty(0, dtype=torch.long, device=images.device), 0

    def __next__(self) -> Tensor:
        if self.position + self.size > len(self.order):
            self.order = torch.randperm(len(self.images), generator=self.generator, device=self.images.device)
            self.position = 0
        rows = self.order[self.position : self.position + self.size]
        self.position += self.size
        return to_batch(self.images.index_select(0, rows), self.binarisation, self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order, "position": self.position, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.position = state["order"].to(self.images.device), state["position"]
        self.generator.set_state(state["generator"])
