"""An evaluation of the model during training: its quality, and the variance and bias of its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from ....tasks.contract import flatten
from ....tasks.vae.mnist_task import MnistTask
from ....tasks.vae.speed import in_float32
from ...statistics.intervals import Quantity
from ..gradient import draw_gradient, model_problem
from ..settings import TrainSettings
from ..streams import stream
from .logits_gradients import encoder_draws, logits_draws, reference_draws, relative_bias, squared_distances
from .step import TrainStep

SHOWN = 8


def evaluate(
    step: TrainStep, task: MnistTask, settings: TrainSettings, seed: int, x: Tensor, final: bool
) -> dict[str, np.ndarray | Quantity]:
    """The task's own metrics on fixed images with fixed noise, and the variance of the gradient on the minibatch x.

    At the last step (`final`) also the metrics that need importance sampling, and the bias of the logits gradient.
    Under wake-sleep, which does not train q by the estimator's gradient, neither variance nor bias is measured.
    """
    step.estimator.eval()
    generator = stream(seed, "evaluation", task.device)
    metrics: dict[str, np.ndarray | Quantity] = {}
    with in_float32(step.vae):
        metrics |= {name: _on_host(found) for name, found in step.vae.measure_prior(final, generator).items()}
        for split in settings.splits or task.evaluated:
            images = task.evaluation_images(task.evaluated[split], settings.images)
            found = task.metrics(step.vae, images, generator, 0, step.estimator)
            metrics |= {f"{name}_{split}": _on_host(samples) for name, samples in found.items()}
        if final and settings.iw_images:
            images = task.evaluation_images(task.test, settings.iw_images)
            found = task.metrics(step.vae, images, generator, settings.iw_samples, step.estimator)
            metrics |= {f"{name}_test": _on_host(found[name]) for name in ("iw", "gap") if name in found}
    if settings.variance_draws:
        metrics |= _of_gradients(step, task, settings, x, generator, final)
    step.estimator.train()
    return metrics


def _of_gradients(
    step: TrainStep, task: MnistTask, settings: TrainSettings, x: Tensor, generator: Generator, final: bool
) -> dict[str, np.ndarray | Quantity]:
    """The variance of the gradient on the minibatch x and, if `final`, the bias of the logits gradient.

    The bias is against a reference, whose error is part of the interval. Estimators of a multi-sample bound have no
    such bias, since their gradient is that of another objective.
    """
    metrics: dict[str, np.ndarray | Quantity] = {}
    if step.vae.spec.kind == "encodings":
        images = task.evaluation_images(task.train, settings.variance_draws * task.batch).split(task.batch)
        metrics["var_minibatch"] = _on_host(squared_distances(minibatch_gradients(step, images, generator)))
    if task.rule == "gradient":
        metrics |= of_gradient(step, settings, x, generator, final)
    step.estimator.train()
    return metrics


def of_gradient(
    step: TrainStep, settings: TrainSettings, x: Tensor, generator: Generator, final: bool
) -> dict[str, np.ndarray | Quantity]:
    """The variance of the estimator's gradient on the minibatch x, at the logits and in the encoder, if it is random.

    At the last step also its bias at the logits against a reference, whose error is part of the interval. Estimators of
    a multi-sample bound have no such bias, since their gradient is that of another objective.
    """
    metrics: dict[str, np.ndarray | Quantity] = {}
    at_logits = logits_draws(step.vae, step.estimator, x, settings.variance_draws, generator)
    if step.estimator.claim().random:
        metrics["var_cut"] = _on_host(squared_distances(at_logits))
        metrics["var_encoder"] = _on_host(squared_distances(encoder_draws(step.vae, x, at_logits)))
    if final and settings.reference_draws and not step.estimator.bound:
        long_mean = reference_draws(step.vae, x, settings.reference_draws, generator)
        if long_mean is not None:
            metrics["bias_reference"] = relative_bias(at_logits, long_mean)
    return metrics


def shown(step: TrainStep, task: MnistTask, seed: int) -> dict[str, np.ndarray]:
    """The images that the task shows of the trained model for the first test images, each [images, 784]."""
    x = task.evaluation_images(task.test, SHOWN)
    with in_float32(step.vae):
        images = task.images(step.vae, x, stream(seed, "images", task.device), step.estimator)
    return {name: pixels.cpu().numpy() for name, pixels in images.items()}


def _on_host(samples: Tensor) -> np.ndarray | Quantity:
    return samples.cpu().numpy() if samples.dim() else Quantity(float(samples))


def minibatch_gradients(step: TrainStep, minibatches: Sequence[Tensor], generator: Generator) -> Tensor:
    """The encoder's gradient of the mean loss of each minibatch, [minibatches, parameters]; nothing is updated."""
    vae, encoder = step.vae, list(step.vae.encoder.parameters())
    gradients = []
    for x in minibatches:
        value = draw_gradient(model_problem(vae, x), step.estimator, vae.encode(x), generator).value
        gradients.append(flatten(torch.autograd.grad(value.mean(), encoder)))
    return torch.stack(gradients)
