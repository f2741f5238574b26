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

from ..estimators import estimator as build
from ..estimators.contract import Estimate, Estimator
from ..estimators.counting import CountedObjective
from ..estimators.tuning import Tuner
from ..tasks.vae.latent_model import LatentModel
from ..tasks.vae.mnist_task import MnistTask
from .clock import Timeline, marked
from .settings import TrainSettings
from .statistics import Figure, relative_bias_between
from .streams import stream

TOGETHER = 10_000_000
REFERENCES = {"bernoulli": "rloo:n=4", "categorical": "rloo:n=4", "continuous": "pathwise"}
"""Whose long mean stands for the exact gradient where none is known: unbiased, and of low variance."""


@dataclass(frozen=True)
class Point:
    """One evaluation along training: each metric's samples over images or draws, or its figure; seconds of training."""

    step: int
    seconds: float
    metrics: dict[str, np.ndarray | Figure]


class Diverged(Exception):
    """The loss became NaN or infinite; `points` holds the curve so far."""

    def __init__(self, step: int, points: list[Point]) -> None:
        super().__init__(f"the loss was not finite by step {step}")
        self.points = points


class TrainStep:
    """One optimiser step: encode, sample, objective, gradient, backward, update."""

    def __init__(self, task: MnistTask, estimator: Estimator, seed: int) -> None:
        self.vae = task.model(seed)
        self.estimator = estimator.train()
        self.optimizer = task.optimizer(self.vae)
        self.tuner = Tuner(estimator)
        self.generator = stream(seed, "sample", task.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Train on x [batch, 784]; returns the loss [batch], detached."""
        vae = self.vae
        latent = vae.latent(vae.encode(x))
        estimate = self.estimator.estimate(vae.objective(x, latent, self.estimator.bound), latent, self.generator)
        return self._finish(latent, estimate)

    def timed(self, x: Tensor, timeline: Timeline) -> Tensor:
        """The same step with a mark at the start of each phase and one at the end."""
        vae, estimator = self.vae, self.estimator
        timeline.mark("encode")
        latent = vae.latent(vae.encode(x))
        timeline.mark("sample")
        draw = estimator.sample(latent, self.generator)
        timeline.mark("gradient")
        f = marked(vae.objective(x, latent, estimator.bound), timeline)
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


def train(
    task: MnistTask, estimator: Estimator, settings: TrainSettings, seed: int, tick: Callable[[float], None]
) -> list[Point]:
    """Train for `steps`, or fewer where they take more than `seconds`, evaluating at evenly spaced steps and the last.

    `tick` is told the fraction done.

    Raises Diverged with the curve so far when the loss is not finite at an evaluation.
    """
    step_once = TrainStep(task, estimator, seed)
    data = task.batches(stream(seed, "data", task.device))
    at = {round(settings.steps * k / settings.evaluations) for k in range(1, settings.evaluations + 1)}
    ema = GradientEma(list(step_once.vae.encoder.parameters()))
    points: list[Point] = []
    trained, start = 0.0, time.perf_counter()
    loss = torch.zeros((), device=task.device)
    for step in range(1, settings.steps + 1):
        loss = step_once(next(data))
        ema.update()
        last = step == settings.steps or trained + time.perf_counter() - start > settings.seconds
        if step in at or last:
            if not math.isfinite(float(loss.mean())):
                raise Diverged(step, points)
            trained += time.perf_counter() - start
            metrics = evaluate(step_once, task, settings, seed, next(data), final=last)
            metrics["var_ema"] = Figure(ema.variance())
            points.append(Point(step, trained, metrics))
            tick(step / settings.steps)
            start = time.perf_counter()
        if last:
            break
    return points


def evaluate(
    step: TrainStep, task: MnistTask, settings: TrainSettings, seed: int, x: Tensor, final: bool
) -> dict[str, np.ndarray | Figure]:
    """The task's own figures on fixed images with fixed noise, and the variance of the gradient on the minibatch x.

    At the last step also what takes importance sampling, and the bias at the cut against a reference, its own error
    carried into the interval; for a bound, whose gradient is another, there is none.
    """
    generator = stream(seed, "evaluation", task.device)
    metrics: dict[str, np.ndarray | Figure] = {}
    for split, images in task.evaluated.items():
        found = task.figures(step.vae, task.evaluation_images(images, settings.images), generator)
        metrics |= {f"{name}_{split}": _on_host(samples) for name, samples in found.items()}
    if final:
        images = task.evaluation_images(task.test, settings.iw_images)
        found = task.figures(step.vae, images, generator, settings.iw_samples)
        metrics |= {f"{name}_test": _on_host(found[name]) for name in ("iw", "gap") if name in found}
    step.estimator.eval()
    cut = cut_draws(step.vae, step.estimator, x, settings.variance_draws, generator)
    step.estimator.train()
    metrics["var_cut"] = squared_distances(cut).cpu().numpy()
    metrics["var_encoder"] = squared_distances(encoder_draws(step.vae, x, cut)).cpu().numpy()
    if final and not step.estimator.bound and step.vae.spec.kind in REFERENCES:
        reference = build(REFERENCES[step.vae.spec.kind], step.vae.spec).eval()
        parts = [cut_draws(step.vae, reference, x, 16, generator) for _ in range(settings.reference_draws // 16)]
        long_mean = torch.cat(parts).flatten(1).cpu().numpy()
        metrics["bias_reference"] = relative_bias_between(cut.flatten(1).cpu().numpy(), long_mean)
    return metrics


def _on_host(samples: Tensor) -> np.ndarray | Figure:
    return samples.cpu().numpy() if samples.dim() else Figure(float(samples))


def cut_draws(vae: LatentModel, estimator: Estimator, x: Tensor, draws: int, generator: Generator) -> Tensor:
    """Gradient of the mean loss of minibatch x at the cut, without its analytic part, [draws, batch, *param_shape].

    As many draws at a time as evaluate f on about TOGETHER pixels, after a first one alone that counts.
    """
    params = vae.encode(x).detach()
    parts: list[Tensor] = []
    together = 1
    while (made := sum(map(len, parts))) < draws:
        rows = params.expand(min(together, draws - made), *params.shape).requires_grad_()
        latent = vae.latent(rows)
        f = CountedObjective(vae.objective(x, latent, estimator.bound))
        (cut,) = torch.autograd.grad(estimator(f, latent, generator).sum(), rows)
        parts.append(cut / len(x))
        together = max(1, TOGETHER // (max(1, f.evaluations // len(rows)) * x.numel()))
    return torch.cat(parts)


def encoder_draws(vae: LatentModel, x: Tensor, cut: Tensor) -> Tensor:
    """Cut gradients [draws, batch, *param_shape] carried to the encoder's parameters, [draws, parameters]."""
    gradients = torch.autograd.grad(vae.encode(x), list(vae.encoder.parameters()), cut, is_grads_batched=True)
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)


def squared_distances(draws: Tensor) -> Tensor:
    """||g - mean||² n/(n - 1) of each draw, [n]: their mean is the total variance."""
    flat = draws.flatten(1)
    return (flat - flat.mean(0)).square().sum(1) * (len(flat) / (len(flat) - 1))


class GradientEma:
    """The literature's variance: moving averages of g and g² of the encoder's gradient along training, mean of
    E g² - (E g)² over coordinates (DisARM, ARMS, RODEO: decay .999). It mixes minibatch noise and moving parameters in.
    """

    def __init__(self, parameters: list[Tensor], decay: float = 0.999) -> None:
        self.parameters, self.decay, self.weight = parameters, decay, 0.0
        self.mean = [torch.zeros_like(parameter) for parameter in parameters]
        self.square = [torch.zeros_like(parameter) for parameter in parameters]

    def update(self) -> None:
        """Take in the gradients of the step just made."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_lerp_(self.mean, gradients, 1 - self.decay)
        torch._foreach_lerp_(self.square, torch._foreach_mul(gradients, gradients), 1 - self.decay)
        self.weight = self.decay * self.weight + 1 - self.decay

    def variance(self) -> float:
        """The mean over coordinates, with the averages divided by that of ones."""
        pairs = zip(self.mean, self.square, strict=True)
        total = sum(float((s / self.weight - (m / self.weight).square()).sum()) for m, s in pairs)
        return total / sum(m.numel() for m in self.mean)
