"""The optimiser step: the same for training and for timing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ....estimators.contract import Estimator
from ....estimators.latents import Objective
from ....estimators.tuning import Tuner
from ....tasks.vae.mnist_task import MnistTask
from ....tasks.vae.speed import in_bf16
from ..gradient import draw_gradient, model_problem
from ..streams import stream
from ..timing.clock import Timeline
from .speed_paths import path_of


class TrainStep:
    """One optimiser step: the model's own negative phase, encode, sample, objective, gradient, backward, update."""

    def __init__(self, task: MnistTask, estimator: Estimator, seed: int) -> None:
        self.task, self.vae = task, task.model(seed)
        if task.autocast == "bf16":
            in_bf16(self.vae)
        self.generative = self.vae.generative_parameters()
        self.estimator = estimator.train()
        self.optimizer = task.make_optimizer(self.vae)
        self.tuner = Tuner(estimator)
        self.generator = stream(seed, "sample", task.device)
        self.evaluations = 0
        self.path = path_of(task, self)

    def __call__(self, x: Tensor, timeline: Timeline | None = None) -> Tensor:
        """Train on x [batch, 784] by the task's speed path; returns the loss [batch], detached.

        The timeline, if any, is marked at the start of each phase and at the end.
        """
        return self.path(x, timeline)

    def bare(self, x: Tensor, timeline: Timeline | None = None) -> Tensor:
        """The same step in plain code, neither compiled nor captured."""
        mark = timeline.mark if timeline is not None else _unmarked
        if self.vae.negative_phase:
            mark("negative")
        self.vae.advance(self.generator)
        mark("encode")
        params = self.vae.encode(x)
        lower = self.estimator.lower(self.generator)
        drawn = draw_gradient(
            model_problem(self.vae, x), self.estimator, params, self.generator, lower, self._counted, timeline
        )
        mark("update")
        self.tuner.step(drawn.estimate.tuning_loss)
        loss = drawn.loss
        self.optimizer.zero_grad()
        if timeline is not None:
            drawn.latent.params.register_hook(lambda _: mark("encoder_backward"))
        mark("objective_backward")
        if self.task.rule == "wake-sleep":
            loss.mean().backward(inputs=self.generative)
            mark("sleep")
            self.vae.sleep_loss(len(x), self.generator).mean().backward()
        else:
            loss.mean().backward()
        mark("update")
        self.optimizer.step()
        mark("end")
        return loss.detach()

    def _counted(self, f: Objective) -> Objective:
        """f with its evaluations counted; `CountedObjective` would slow down the training step."""

        def counted(z: Tensor) -> Tensor:
            self.evaluations += z.shape[0]
            return f(z)

        return counted

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return state | {"generator": self.generator.get_state(), "evaluations": self.evaluations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.evaluations = state["evaluations"]
        self.path = path_of(self.task, self)

    def _parts(self) -> dict[str, Any]:
        parts = {"vae": self.vae, "estimator": self.estimator, "optimizer": self.optimizer}
        return parts if self.tuner.optimizer is None else parts | {"tuner": self.tuner.optimizer}


def _unmarked(phase: str) -> None:
    """Stands in for `Timeline.mark` when nothing is timed."""
