"""The ways to run a training step: the plain code, compiled networks, or a CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from ....estimators.contract import Unsupported
from ....tasks.vae.latent_model import LatentModel
from ....tasks.vae.mnist_task import MnistTask
from ..timing.clock import Timeline
from .graphed import BareStep, Graphed

NO_SECOND_DERIVATIVE = ("donated buffers", "double backward")


class Path(Protocol):
    """One step on x [batch, 784], its phases marked on the timeline, if any; returns the loss [batch], detached."""

    def __call__(self, x: Tensor, timeline: Timeline | None = None) -> Tensor: ...


class ModelStep(BareStep, Protocol):
    """A step that trains a model."""

    vae: LatentModel


class Compiled:
    """The step with `encode` and `reconstruction` of each layer compiled; it draws the same noise as the bare step.

    A method that does not compile as a whole, or is recompiled too often, raises: nothing falls back to the bare step.
    The compiler is reset, so that the numbers of a cell do not depend on earlier compilations.
    """

    METHODS = ("encode", "reconstruction")

    def __init__(self, step: ModelStep) -> None:
        torch.compiler.reset()
        self.step = step
        self.fast = [
            (model, {name: torch.compile(getattr(model, name), fullgraph=True) for name in self.METHODS})
            for model in step.vae.models()
        ]

    def __call__(self, x: Tensor, timeline: Timeline | None = None) -> Tensor:
        with self._swapped():
            return self.step.bare(x, timeline)

    @contextmanager
    def _swapped(self) -> Iterator[None]:
        """Use the compiled methods during the step only: evaluations and gradient draws use the model's own.

        Raises Unsupported when the estimator needs a second derivative of f.
        """
        for model, methods in self.fast:
            vars(model).update(methods)
        try:
            yield
        except RuntimeError as error:
            if not any(words in str(error) for words in NO_SECOND_DERIVATIVE):
                raise
            name = self.step.estimator.name
            raise Unsupported(f"compile=yes gives f no second derivative, which {name} needs") from error
        finally:
            for model, methods in self.fast:
                for name in methods:
                    del vars(model)[name]


def path_of(task: MnistTask, step: ModelStep) -> Path:
    """The path that the task's hyper-parameters select."""
    if task.compile == "yes":
        return Compiled(step)
    return Graphed(step) if task.cuda_graphs == "yes" else step.bare
