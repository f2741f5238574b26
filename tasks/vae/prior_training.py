"""The training of a prior over codes, minibatch by minibatch, with a state that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from .batches import Batches
from .code_prior import CodePrior


class PriorTraining(Iterator[None]):
    """Each `next` trains the prior on the codes of one minibatch, `steps` times in all.

    indices: images [batch, 784] -> their codes, [batch, sites]. The state is that of the training alone: the prior has
    its own.
    """

    def __init__(self, prior: CodePrior, indices: Callable[[Tensor], Tensor], data: Batches, steps: int) -> None:
        self.prior, self.indices, self.data, self.steps, self.done = prior, indices, data, steps, 0
        self.optimizer = prior.optimizer()

    def __next__(self) -> None:
        if self.done == self.steps:
            raise StopIteration
        self.prior.learn(self.indices(next(self.data)), self.optimizer)
        self.done += 1

    def state_dict(self) -> dict[str, Any]:
        optimizer = self.optimizer and self.optimizer.state_dict()
        return {"steps": self.steps, "done": self.done, "data": self.data.state_dict(), "optimizer": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.done = state["steps"], state["done"]
        self.data.load_state_dict(state["data"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
