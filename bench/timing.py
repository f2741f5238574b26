"""Time per phase, of a gradient draw on a toy and of a training step on a VAE."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..estimators.contract import Estimator
from ..tasks.contract import Toy
from ..tasks.vae.mnist_vae import MnistVae
from .clock import Timeline, clock_for, marked
from .draws import Layers, count_calls, rows_within
from .settings import ClockSettings
from .streams import stream
from .training import TrainStep


@dataclass(frozen=True)
class Timings:
    """phase -> microseconds [repetitions], and "total"; per draw on toys, per optimiser step on VAEs."""

    phases: dict[str, np.ndarray]


def time_draws(layers: Layers, task: Toy, settings: ClockSettings, seed: int) -> Timings:
    """A gradient draw: sample, objective (every evaluation of f), gradient, and backward to the cut."""
    rows = rows_within(settings.elements, count_calls(layers, task)[0], task, settings.rows)
    sample, lower = stream(seed, "sample", task.device), stream(seed, "lower", task.device)
    once = task.params().detach()

    def draw(timeline: Timeline) -> None:
        params = once.expand(rows, *once.shape).detach().requires_grad_()
        latent = task.latent(params)
        f = task.objective(latent, layers.lower(lower))
        timeline.mark("sample")
        z = layers.top.sample(latent, sample)
        timeline.mark("gradient")
        estimate = layers.top.gradient(marked(f, timeline), latent, z)
        timeline.mark("objective_backward")
        torch.autograd.grad(estimate.spliced(latent).sum(), params, allow_unused=True)
        timeline.mark("end")

    return _repeat(draw, task.device, settings, per=rows)


def time_steps(task: MnistVae, estimator: Estimator, settings: ClockSettings, seed: int) -> Timings:
    """A training step, minibatch already on the device."""
    step = TrainStep(task, estimator, seed)
    data = task.batches(stream(seed, "data", task.device))
    batches = [next(data) for _ in range(8)]
    following = itertools.cycle(batches)

    def run(timeline: Timeline) -> None:
        step.timed(next(following), timeline)

    return _repeat(run, task.device, settings, per=1)


def _repeat(run: Callable[[Timeline], None], device: torch.device, settings: ClockSettings, per: int) -> Timings:
    timeline = Timeline(clock_for(device))
    for _ in range(settings.warmup):
        run(timeline)
        timeline.read()
    spans: dict[str, list[float]] = {}
    with without_collection():
        for _ in range(settings.repetitions):
            run(timeline)
            once = timeline.read()
            for phase, span in (once | {"total": sum(once.values())}).items():
                spans.setdefault(phase, []).append(span / per)
    return Timings({phase: np.array(values) for phase, values in spans.items()})


@contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection inside the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
