"""A model in training, step by step, with all the state that training updates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ....estimators.contract import Estimator
from ....estimators.names import UsageError
from ....tasks.vae.mnist_task import MnistTask
from ....tasks.vae.prior_training import PriorTraining
from ....tasks.vae.speed import in_float32
from ...statistics.intervals import Quantity
from ..settings import TrainSettings
from ..streams import stream
from .basket import Basket
from .evaluation import evaluate, shown
from .gradient_ema import GradientEma
from .point import Point
from .step import TrainStep

NOT_FINITE = "a parameter was not finite"


class Trajectory:
    """All the state of a training: model, estimator and optimiser, position in the data, averages of the gradient."""

    def __init__(self, task: MnistTask, estimator: Estimator, steps: int, seed: int) -> None:
        self.task, self.steps, self.seed = task, steps, seed
        self.step_once = TrainStep(task, estimator, seed)
        self.data = task.batches(stream(seed, "data", task.device))
        self.ema = GradientEma(self.step_once.vae.inference_parameters())
        self.finishing: PriorTraining | None = None

    def validate(self) -> None:
        """Raises UsageError when the untrained encoder gives parameters of q that are not finite, and Unsupported when
        the task cannot evaluate the estimator."""
        vae, images = self.step_once.vae, self.task.evaluation_images(self.task.train, self.task.batch)
        vae.latent(vae.encode(images)).validate()
        self.task.check(vae, images, self.step_once.estimator)

    def advance(self, step: int) -> Tensor:
        """Train on the next minibatch at the learning rate of this step; returns the loss [batch], detached."""
        self.step_once.set_learning_rate(self.task.learning_rate(step, self.steps))
        loss = self.step_once(next(self.data))
        self.ema.update()
        return loss

    def divergence(self, loss: Tensor) -> str:
        """Which of the loss of a step and the model's parameters after it is not finite; "" for neither."""
        if not bool(loss.isfinite().all()):
            return "the loss was not finite"
        return "" if self._finite() else NOT_FINITE

    def undefined(self, error: UsageError | RuntimeError, updates: int) -> str:
        """Why the loss is not defined, if these updates have brought that about: a parameter is not finite, on which
        anything may fail, or beyond the limits of the loss, which the model refuses. "" for any other error."""
        if not self._finite():
            return NOT_FINITE
        return str(error) if isinstance(error, UsageError) and updates else ""

    def finish(self, step: int) -> Iterator[None]:
        """Train what needs the model frozen after this last step, or go on with it; yields after each minibatch."""
        if self.finishing is None:
            self._start_finishing(step)
        with in_float32(self.step_once.vae):
            yield from self.finishing or ()

    def _start_finishing(self, steps: int) -> None:
        once, generator = self.step_once, stream(self.seed, "prior", self.task.device)
        self.finishing = self.task.finish(once.vae, once.estimator, steps, generator)

    def point(self, step: int, seconds: float, settings: TrainSettings, basket: Basket, last: bool) -> Point:
        """Evaluate the model in its present state; its gradients are drawn on the next minibatch."""
        once, task, x = self.step_once, self.task, next(self.data)
        metrics: dict[str, Any] = evaluate(once, task, settings, self.seed, x, final=last)
        metrics["var_ema"] = Quantity(self.ema.variance())
        if settings.target_elbo is not None:
            metrics["target_elbo"] = Quantity(settings.target_elbo)
        images = shown(once, task, self.seed) if last else {}
        others = basket.measure(once.vae, x, stream(self.seed, f"basket/{step}", task.device))
        return Point(step, seconds, metrics, once.evaluations, images, others)

    def _finite(self) -> bool:
        return bool(torch.stack([p.isfinite().all() for p in self.step_once.vae.parameters()]).all())

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "finishing" in state:  # it adds the prior to the model, whose state has it
            self._start_finishing(state["finishing"]["steps"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"step": self.step_once, "data": self.data, "ema": self.ema}
        return parts if self.finishing is None else parts | {"finishing": self.finishing}
