"""Training a VAE with an estimator: the step that is timed and trained with, and the loop around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..estimators.contract import Estimate, Estimator
from ..estimators.tuning import Tuner
from ..tasks.vae.bounds import elbo, importance_weighted
from ..tasks.vae.mnist_vae import MnistVae
from ..tasks.vae.model import Vae
from .clock import Timeline, marked
from .settings import TrainSettings
from .streams import stream


@dataclass(frozen=True)
class Point:
    """One evaluation along training: each metric's samples, over images or gradient draws, and seconds of training."""

    step: int
    seconds: float
    metrics: dict[str, np.ndarray]


class Diverged(Exception):
    """The loss became NaN or infinite; `points` holds the curve so far."""

    def __init__(self, step: int, points: list[Point]) -> None:
        super().__init__(f"the loss was not finite by step {step}")
        self.points = points


class TrainStep:
    """One optimiser step: encode, sample, objective, gradient, backward, update."""

    def __init__(self, task: MnistVae, estimator: Estimator, seed: int) -> None:
        self.vae = task.model(seed)
        self.estimator = estimator.train()
        self.optimizer = task.optimizer(self.vae)
        self.tuner = Tuner(estimator)
        self.generator = stream(seed, "sample", task.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Train on x [batch, 784]; returns the loss [batch], detached."""
        vae = self.vae
        latent = vae.latent(vae.encode(x))
        estimate = self.estimator.estimate(vae.objective(x, latent), latent, self.generator)
        return self._finish(latent, estimate)

    def timed(self, x: Tensor, timeline: Timeline) -> Tensor:
        """The same step with a mark at the start of each phase and one at the end."""
        vae, estimator = self.vae, self.estimator
        timeline.mark("encode")
        latent = vae.latent(vae.encode(x))
        timeline.mark("sample")
        draw = estimator.sample(latent, self.generator)
        timeline.mark("gradient")
        estimate = estimator.gradient(marked(vae.objective(x, latent), timeline), latent, draw)
        estimator.update(draw, estimate)
        loss = self._finish(latent, estimate, timeline)
        timeline.mark("end")
        return loss

    def _finish(self, latent: Any, estimate: Estimate, timeline: Timeline | None = None) -> Tensor:
        if timeline is not None:
            timeline.mark("update")
        self.tuner.step(estimate.tuning_loss)
        loss, regulariser = estimate.spliced(latent), self.vae.regulariser(latent)
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


def train(
    task: MnistVae, estimator: Estimator, settings: TrainSettings, seed: int, tick: Callable[[float], None]
) -> list[Point]:
    """Train for `steps`, evaluating at evenly spaced steps. `tick` is told the fraction done.

    Raises Diverged with the curve so far when the loss is not finite at an evaluation.
    """
    step_once = TrainStep(task, estimator, seed)
    data = task.batches(stream(seed, "data", task.device))
    at = {round(settings.steps * k / settings.evaluations) for k in range(1, settings.evaluations + 1)}
    points: list[Point] = []
    trained, start = 0.0, time.perf_counter()
    loss = torch.zeros((), device=task.device)
    for step in range(1, settings.steps + 1):
        loss = step_once(next(data))
        if step in at:
            if not math.isfinite(float(loss.mean())):
                raise Diverged(step, points)
            trained += time.perf_counter() - start
            metrics = evaluate(step_once, task, settings, seed, next(data), final=step == settings.steps)
            points.append(Point(step, trained, metrics))
            tick(step / settings.steps)
            start = time.perf_counter()
    return points


def evaluate(
    step: TrainStep, task: MnistVae, settings: TrainSettings, seed: int, x: Tensor, final: bool
) -> dict[str, np.ndarray]:
    """Bounds on fixed images with fixed noise, and the variance of the gradient on the minibatch x."""
    generator = stream(seed, "evaluation", task.device)
    metrics: dict[str, np.ndarray] = {}
    for name, images in (("elbo_train", task.train), ("elbo_test", task.test)):
        bounds = elbo(step.vae, task.evaluation_images(images, settings.images), generator)
        metrics[name] = bounds.cpu().numpy()
    if final:
        images = task.evaluation_images(task.test, settings.iw_images)
        bounds = importance_weighted(step.vae, images, settings.iw_samples, generator)
        metrics["iw_test"] = bounds.cpu().numpy()
    step.estimator.eval()
    for name, squares in gradient_spread(step.vae, step.estimator, x, settings.variance_draws, generator).items():
        metrics[name] = squares.cpu().numpy()
    step.estimator.train()
    return metrics


def gradient_spread(vae: Vae, estimator: Estimator, x: Tensor, draws: int, generator: Generator) -> dict[str, Tensor]:
    """Variance of the minibatch gradient of the mean loss, given x and parameters.

    Squared distances from the mean, scaled by draws/(draws - 1), summed over coordinates: their mean is the total
    variance, at the cut ("var_cut") and in the encoder's parameters ("var_encoder"), each [draws].
    """
    params = vae.encode(x)
    rows = params.detach().expand(draws, *params.shape).requires_grad_()
    latent = vae.latent(rows)
    loss = estimator(vae.objective(x, latent), latent, generator)
    (cut,) = torch.autograd.grad(loss.sum(), rows)
    cut = (cut - cut.mean(0)) / len(x)
    encoder = torch.autograd.grad(params, list(vae.encoder.parameters()), cut, is_grads_batched=True)
    scale = draws / (draws - 1)
    return {
        "var_cut": scale * cut.flatten(1).square().sum(1),
        "var_encoder": scale * sum(g.flatten(1).square().sum(1) for g in encoder),  # type: ignore[dict-item]
    }
