"""A training step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten_with_path

from ....estimators.contract import Estimator
from ....estimators.names import UsageError
from ....estimators.tuning import Tuner
from ..capture import capture
from ..timing.clock import Timeline

WARM = 3


class BareStep(Protocol):
    """A training step and all the state that it updates."""

    estimator: Estimator
    optimizer: Optimizer
    tuner: Tuner
    generator: torch.Generator
    evaluations: int

    def bare(self, x: Tensor, timeline: Timeline | None = None) -> Tensor: ...

    def state_dict(self) -> dict[str, Any]: ...


class Graphed:
    """The step captured at its first call and replayed at every call, so that Python launches no kernels.

    It draws the same noise and updates the same state as the bare step; the learning rate is read from the device.
    """

    def __init__(self, step: BareStep) -> None:
        self.step = step
        self.replay: Callable[[], object] | None = None

    def __call__(self, x: Tensor, timeline: Timeline | None = None) -> Tensor:
        """One step on x [batch, 784]; the loss [batch], detached. A graph is timed as the single phase "graph".

        Raises UsageError, at the first call, for an estimator that a graph cannot train.
        """
        if timeline is not None:
            timeline.mark("graph")
        if self.replay is None:
            self._capture(x)
        assert self.replay is not None
        self.x.copy_(x)
        self.replay()
        self.step.evaluations += self.evaluations
        loss = self.loss.clone()
        if timeline is not None:
            timeline.mark("end")
        return loss

    def _capture(self, x: Tensor) -> None:
        step, self.x = self.step, x.clone()
        on_device(step)
        before, places = step.evaluations, dict[str, int]()

        def warm_up() -> None:
            rehearse(step, self.x)
            places.update(state_places(step))

        replay, self.loss = capture(lambda: step.bare(self.x), warm_up, x.device, step.generator)
        self.evaluations, step.evaluations = step.evaluations - before, before
        if state_places(step) != places:
            raise UsageError(
                f"{step.estimator.name} replaces its state tensors at each step; leave out cuda_graphs for it"
            )
        self.replay = replay


def on_device(step: BareStep) -> None:
    """Make learning rates tensors on the device, from which a graph reads them, and optimisers capturable."""
    for optimizer in optimizers(step):
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=group["params"][0].device)
            if "capturable" in group:
                group["capturable"] = True


def optimizers(step: BareStep) -> list[Optimizer]:
    return [optimizer for optimizer in (step.optimizer, step.tuner.optimizer) if optimizer is not None]


def rehearse(step: BareStep, x: Tensor) -> None:
    """Make WARM steps on x, then restore all state in place; state that optimisers created meanwhile becomes zero."""
    kept, generator, evaluations = state_tensors(step), step.generator.get_state(), step.evaluations
    kept = {place: tensor.clone() for place, tensor in kept.items()}
    for _ in range(WARM):
        step.bare(x)
    with torch.no_grad():
        for place, tensor in state_tensors(step).items():
            tensor.copy_(kept[place]) if place in kept else tensor.zero_()
    step.generator.set_state(generator)
    step.evaluations = evaluations


def state_tensors(step: BareStep) -> dict[str, Tensor]:
    """Every tensor that a step updates, by its path in the state; the tensors themselves, not copies."""
    state = step.state_dict()
    del state["generator"]
    leaves, _ = tree_flatten_with_path(state)
    return {str(path): leaf for path, leaf in leaves if isinstance(leaf, Tensor)}


def state_places(step: BareStep) -> dict[str, int]:
    """The memory address of each state tensor: a graph writes to the addresses of its capture."""
    return {place: tensor.data_ptr() for place, tensor in state_tensors(step).items()}
