"""Training a VAE with an estimator: the step that is timed and trained with, and the loop around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ....estimators.contract import Estimate, Estimator
from ....estimators.tuning import Tuner
from ....tasks.contract import flatten
from ....tasks.vae.mnist_task import MnistTask
from ....tasks.vae.speed import in_bf16, in_float32
from ...statistics.intervals import Figure
from ..settings import TrainSettings
from ..streams import stream
from ..timing.clock import Timeline, marked
from .basket import Basket
from .checkpoint import Checkpoint
from .logits_gradients import cut_draws, encoder_draws, reference_draws, relative_bias, squared_distances
from .speed_paths import path_of

SHOWN = 8


@dataclass(frozen=True)
class Point:
    """One evaluation along training: each metric's samples over images or draws, or its figure.

    seconds: of training. evaluations: of f for each data point of the minibatches so far. images: at the last point,
    what the task shows of the model, [images, 784]. basket: what `Basket` measured, by the names of its estimators.
    """

    step: int
    seconds: float
    metrics: dict[str, Any]
    evaluations: int = 0
    images: dict[str, np.ndarray] = field(default_factory=dict)
    basket: dict[str, dict[str, Any] | str] = field(default_factory=dict)


class Diverged(Exception):
    """The loss became NaN or infinite; `points` holds the curve so far."""

    def __init__(self, step: int, points: list[Point]) -> None:
        super().__init__(f"the loss was not finite by step {step}")
        self.points = points


class TrainStep:
    """One optimiser step: encode, sample, objective, gradient, backward, update."""

    def __init__(self, task: MnistTask, estimator: Estimator, seed: int) -> None:
        self.task, self.vae = task, task.model(seed)
        if task.autocast == "bf16":
            in_bf16(self.vae)
        self.estimator = estimator.train()
        self.optimizer = task.make_optimizer(self.vae)
        self.tuner = Tuner(estimator)
        self.generator = stream(seed, "sample", task.device)
        self.evaluations = 0
        self.path = path_of(task, self)

    def __call__(self, x: Tensor) -> Tensor:
        """Train on x [batch, 784] by the task's speed path; returns the loss [batch], detached."""
        return self.path(x)

    def plain(self, x: Tensor) -> Tensor:
        """The same step as it is written."""
        vae = self.vae
        latent = vae.latent(vae.encode(x))
        f = vae.objective(x, latent, self.estimator.bound, self.estimator.lower(self.generator))

        def counted(z: Tensor) -> Tensor:
            self.evaluations += z.shape[0]
            return f(z)

        return self._finish(latent, self.estimator.estimate(counted, latent, self.generator))

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

    def timed(self, x: Tensor, timeline: Timeline) -> Tensor:
        """The same step with a mark at the start of each phase and one at the end."""
        vae, estimator = self.vae, self.estimator
        timeline.mark("encode")
        latent = vae.latent(vae.encode(x))
        timeline.mark("sample")
        draw = estimator.sample(latent, self.generator)
        timeline.mark("gradient")
        f = marked(vae.objective(x, latent, estimator.bound, estimator.lower(self.generator)), timeline)
        estimate = estimator.gradient(f, latent, draw)
        estimator.update(draw, estimate)
        loss = self._finish(latent, estimate, timeline)
        timeline.mark("end")
        return loss

    def _finish(self, latent: Any, estimate: Estimate, timeline: Timeline | None = None) -> Tensor:
        if timeline is not None:
            timeline.mark("update")
        self.tuner.step(estimate.tuning_loss)
        loss, regulariser = estimate.spliced(latent), self.vae.regulariser(latent, self.estimator.bound)
        if regulariser is not None:
            loss = loss + regulariser
        self.optimizer.zero_grad()
        if timeline is not None:
            latent.params.register_hook(lambda _: timeline.mark("encoder_backward"))
            timeline.mark("objective_backward")
        loss.mean().backward()
        if timeline is not None:
            timeline.mark("update")
        self.optimizer.step()
        return loss.detach()


class Trajectory:
    """All that moves along training: model, estimator and optimiser, the place in the data, the gradient's averages."""

    def __init__(self, task: MnistTask, estimator: Estimator, steps: int, seed: int) -> None:
        self.task, self.steps, self.seed = task, steps, seed
        self.step_once = TrainStep(task, estimator, seed)
        self.data = task.batches(stream(seed, "data", task.device))
        self.ema = GradientEma(self.step_once.vae.inference_parameters())

    def validate(self) -> None:
        """Raises UsageError where the untrained encoder's parameters are not finite."""
        vae, images = self.step_once.vae, self.task.evaluation_images(self.task.train, self.task.batch)
        vae.latent(vae.encode(images)).validate()

    def advance(self, step: int) -> Tensor:
        """Train on the next minibatch, at the learning rate of this step; its loss [batch], detached."""
        self.step_once.set_learning_rate(self.task.learning_rate(step, self.steps))
        loss = self.step_once(next(self.data))
        self.ema.update()
        return loss

    def point(self, step: int, seconds: float, settings: TrainSettings, basket: Basket, last: bool) -> Point:
        """What there is to say of the model now; the next minibatch is the one whose gradients are drawn."""
        once, task, x = self.step_once, self.task, next(self.data)
        metrics: dict[str, Any] = evaluate(once, task, settings, self.seed, x, final=last)
        metrics["var_ema"] = Figure(self.ema.variance())
        if settings.target_elbo is not None:
            metrics["target_elbo"] = Figure(settings.target_elbo)
        images = shown(once, task, self.seed) if last else {}
        others = basket.measure(once.vae, x, stream(self.seed, f"basket/{step}", task.device))
        return Point(step, seconds, metrics, once.evaluations, images, others)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"step": self.step_once, "data": self.data, "ema": self.ema}


def train(
    task: MnistTask,
    estimator: Estimator,
    settings: TrainSettings,
    seed: int,
    tick: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
) -> list[Point]:
    """Train for `steps`, or fewer where they take more than `seconds`, evaluating at evenly spaced steps and the last.

    `tick` is told the fraction done. What a checkpoint holds is gone on with, to the same bits at equal threads.

    Raises Diverged with the curve so far when the loss is not finite at an evaluation.
    """
    run, basket = Trajectory(task, estimator, settings.steps, seed), Basket(settings, task.layers)
    run.validate()
    at = {round(settings.steps * k / settings.evaluations) for k in range(1, settings.evaluations + 1)}
    checkpoint = checkpoint or Checkpoint()
    points: list[Point] = []
    done, trained = 0, 0.0
    if (kept := checkpoint.load()) is not None:
        done, trained, points = kept["done"], kept["trained"], [Point(**point) for point in kept["points"]]
        run.load_state_dict(kept["run"])
    start = time.perf_counter()
    for step in range(done + 1, settings.steps + 1):
        loss = run.advance(step)
        last = step == settings.steps or trained + time.perf_counter() - start > settings.seconds
        if step in at or last:
            if not math.isfinite(float(loss.mean())):
                raise Diverged(step, points)
            trained += time.perf_counter() - start
            points.append(run.point(step, trained, settings, basket, last))
            tick(step / settings.steps)
            start = time.perf_counter()
        if last:
            break
        if checkpoint.due:
            trained += time.perf_counter() - start
            state = {"done": step, "trained": trained, "points": list(map(vars, points)), "run": run.state_dict()}
            checkpoint.save(state)
            start = time.perf_counter()
    return points


def evaluate(
    step: TrainStep, task: MnistTask, settings: TrainSettings, seed: int, x: Tensor, final: bool
) -> dict[str, np.ndarray | Figure]:
    """The task's own figures on fixed images with fixed noise, and the variance of the gradient on the minibatch x.

    At the last step also what takes importance sampling, and the bias at the cut against a reference, its own error
    carried into the interval; for a bound, whose gradient is another, there is none.
    """
    step.estimator.eval()
    generator = stream(seed, "evaluation", task.device)
    metrics: dict[str, np.ndarray | Figure] = {}
    with in_float32(step.vae):
        for split, images in task.evaluated.items():
            images = task.evaluation_images(images, settings.images)
            found = task.figures(step.vae, images, generator, 0, step.estimator)
            metrics |= {f"{name}_{split}": _on_host(samples) for name, samples in found.items()}
        if final and settings.iw_images:
            images = task.evaluation_images(task.test, settings.iw_images)
            found = task.figures(step.vae, images, generator, settings.iw_samples, step.estimator)
            metrics |= {f"{name}_test": _on_host(found[name]) for name in ("iw", "gap") if name in found}
    if step.vae.spec.kind == "encodings":
        images = task.evaluation_images(task.train, settings.variance_draws * task.batch).split(task.batch)
        metrics["var_minibatch"] = _on_host(squared_distances(minibatch_gradients(step, images, generator)))
    cut = cut_draws(step.vae, step.estimator, x, settings.variance_draws, generator)
    if step.estimator.claim().random:
        metrics["var_cut"] = _on_host(squared_distances(cut))
        metrics["var_encoder"] = _on_host(squared_distances(encoder_draws(step.vae, x, cut)))
    if final and not step.estimator.bound:
        long_mean = reference_draws(step.vae, x, settings.reference_draws, generator)
        if long_mean is not None:
            metrics["bias_reference"] = relative_bias(cut, long_mean)
    step.estimator.train()
    return metrics


def shown(step: TrainStep, task: MnistTask, seed: int) -> dict[str, np.ndarray]:
    """What the task shows of the trained model on the first test images, [images, 784]."""
    x = task.evaluation_images(task.test, SHOWN)
    with in_float32(step.vae):
        images = task.images(step.vae, x, stream(seed, "images", task.device), step.estimator)
    return {name: pixels.cpu().numpy() for name, pixels in images.items()}


def _on_host(samples: Tensor) -> np.ndarray | Figure:
    return samples.cpu().numpy() if samples.dim() else Figure(float(samples))


def minibatch_gradients(step: TrainStep, minibatches: Sequence[Tensor], generator: Generator) -> Tensor:
    """The encoder's gradient of the mean loss of each minibatch, [minibatches, parameters]; nothing moves."""
    vae, encoder = step.vae, list(step.vae.encoder.parameters())
    gradients = []
    for x in minibatches:
        latent = vae.latent(vae.encode(x))
        loss = step.estimator(vae.objective(x, latent, step.estimator.bound), latent, generator)
        gradients.append(flatten(torch.autograd.grad(loss.mean(), encoder)))
    return torch.stack(gradients)


class GradientEma:
    """The literature's variance: moving averages of g and g² of the gradient of q's parameters along training, mean of
    E g² - (E g)² over coordinates (DisARM, ARMS, RODEO: decay .999). It mixes minibatch noise and moving parameters in.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float = 0.999) -> None:
        self.parameters, self.decay, self.weight = parameters, decay, 0.0
        self.mean = [torch.zeros_like(parameter) for parameter in parameters]
        self.square = [torch.zeros_like(parameter) for parameter in parameters]

    def update(self) -> None:
        """Take in the gradients of the step just made."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_lerp_(self.mean, gradients, 1 - self.decay)
        torch._foreach_lerp_(self.square, torch._foreach_mul(gradients, gradients), 1 - self.decay)
        self.weight = self.decay * self.weight + 1 - self.decay

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "square": self.square, "weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, kept in zip((*self.mean, *self.square), (*state["mean"], *state["square"]), strict=True):
            mine.copy_(kept)
        self.weight = state["weight"]

    def variance(self) -> float:
        """The mean over coordinates, with the averages divided by that of ones."""
        pairs = zip(self.mean, self.square, strict=True)
        total = sum(float((s / self.weight - (m / self.weight).square()).sum()) for m, s in pairs)
        return total / sum(m.numel() for m in self.mean)
