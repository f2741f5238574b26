"""From names to objects: the task of a subject, and its estimator for each stochastic layer of the task."""

from __future__ import annotations

from typing import Any

import torch

from ...estimators.contract import Estimator, Unsupported
from ...estimators.layered import Layered
from ...estimators.registry import ESTIMATORS, TASKS
from ...tasks.contract import Task
from .source import Subject


class Layers(Layered):
    """The same estimator for each stochastic layer of a task, with the same hyper-parameters.

    Raises Unsupported when it differentiates f and f is defined on discrete z only.
    """

    def __init__(self, cls: type[Estimator], values: dict[str, Any], task: Task, device: torch.device) -> None:
        require_differentiable(cls, task)
        with device:
            super().__init__([cls(spec, **values) for spec in task.layers])

    @property
    def whole(self) -> Estimator:
        """The estimator to train with: all layers as one, or the only layer's."""
        return self if len(self.deeper) else self.top


def require_differentiable(estimator: type[Estimator] | Estimator, task: Task) -> None:
    """Raises Unsupported when the estimator differentiates f and f is defined on discrete z only."""
    if estimator.differentiates and not task.differentiable:
        raise Unsupported(f"{estimator.name} differentiates f, and this f is defined on discrete z only")


def build_task(subject: Subject) -> Any:
    """The subject's task on its device: a toy, or a training task."""
    return TASKS.find(subject.task.family).load()(device=torch.device(subject.device), **subject.task.values)


def build_layers(subject: Subject, task: Task) -> Layers:
    """The subject's estimator for this task. Raises Unsupported."""
    cls = ESTIMATORS.find(subject.estimator.family).load()
    return Layers(cls, subject.estimator.values, task, torch.device(subject.device))
