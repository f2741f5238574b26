"""Time per phase, of a gradient draw on a toy and of a training step on a VAE, estimators interleaved in rounds."""

from __future__ import annotations

import gc
import itertools
import random
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Generator

from ....estimators.contract import Estimator
from ....estimators.counting import CountedObjective
from ....tasks.contract import Toy
from ....tasks.vae.mnist_task import MnistTask
from ..costs import count_costs
from ..draws import Layers, count_work
from ..settings import ClockSettings
from ..streams import stream
from ..training.training import TrainStep
from .clock import Timeline, marked
from .stopwatch import Block, Stopwatch, Timed, Timings
from .telemetry import Telemetry

Key = TypeVar("Key", bound=Hashable)


def timed_draws(layers: Layers, task: Toy, settings: ClockSettings, seed: int) -> Timed:
    """A gradient draw: sample, objective (every evaluation of f), gradient, and backward to the cut."""
    rows = count_work(layers, task).draws(settings.elements, settings.rows)
    sample, lower = stream(seed, "sample", task.device), stream(seed, "lower", task.device)
    once = task.params().detach()

    def call(timeline: Timeline) -> None:
        params = once.expand(rows, *once.shape).detach().requires_grad_()
        latent = task.latent(params)
        f, _ = task.loss_parts(layers.top, latent, layers.lower(lower))
        timeline.mark("sample")
        z = layers.top.sample(latent, sample)
        timeline.mark("gradient")
        estimate = layers.top.gradient(marked(f, timeline), latent, z)
        timeline.mark("objective_backward")
        torch.autograd.grad(estimate.spliced(latent).sum(), params, allow_unused=True)
        timeline.mark("end")

    def gradient(generator: Generator | None) -> None:
        params = once.expand(rows, *once.shape).detach().requires_grad_()
        latent = task.latent(params)
        f, _ = task.loss_parts(layers.top, latent, layers.lower(generator))
        loss = layers.top(f, latent, generator)
        torch.autograd.grad(loss.sum(), params, allow_unused=True)

    return Timed(call, gradient, per=rows)


def timed_steps(task: MnistTask, estimator: Estimator, seed: int) -> Timed:
    """A training step, minibatch already on the device."""
    step = TrainStep(task, estimator, seed)
    data = task.batches(stream(seed, "data", task.device))
    batches = [next(data) for _ in range(8)]
    following = itertools.cycle(batches)
    vae, x = step.vae, batches[0]

    def call(timeline: Timeline) -> None:
        step.path.timed(next(following), timeline)

    def gradient(generator: Generator | None, counted: CountedObjective | None = None) -> None:
        latent = vae.latent(vae.encode(x))
        f = vae.objective(x, latent, estimator.bound, estimator.lower(generator))
        if counted is not None:
            counted.f = f
        estimate = estimator.estimate(counted or f, latent, generator)
        if estimate.tuning_loss is not None:
            torch.autograd.grad(estimate.tuning_loss, step.tuner.parameters, retain_graph=True, allow_unused=True)
        torch.autograd.grad(estimate.spliced(latent).mean(), list(vae.parameters()), allow_unused=True)

    generator = stream(seed, "costs", task.device)
    counted = CountedObjective(lambda z: z)
    gradient(generator, counted)
    return Timed(call, gradient, 1, count_costs(lambda: gradient(generator)), counted)


def time_group(
    timed: Mapping[Key, Timed],
    device: torch.device,
    settings: ClockSettings,
    seed: int,
    tick: Callable[[float], None] = lambda fraction: None,
    earlier: Mapping[Key, Sequence[Block]] | None = None,
    made: Callable[[Key, Block], None] = lambda key, block: None,
    around: Callable[[Key], AbstractContextManager[object]] = lambda key: nullcontext(),
) -> dict[Key, Timings | Exception]:
    """Time them all in interleaved rounds, in random order within a round; one that raises leaves the others alone.

    `tick` is told the fraction of rounds done, `made` each block. Blocks that an earlier process made count. What is
    run of a key is run within `around` it.
    """
    results: dict[Key, Timings | Exception] = {}
    watches: dict[Key, Stopwatch] = {}
    telemetry = Telemetry(device)
    for key, each in timed.items():
        tick(0.0)
        try:
            with around(key):
                watches[key] = Stopwatch(each, device, settings, telemetry, (earlier or {}).get(key, ()))
        except Exception as error:
            results[key] = without_tensors(error)
    order, running, done = random.Random(seed), [key for key in watches if not watches[key].stop_reason()], 0
    with without_collection():
        while running:
            order.shuffle(running)
            for place, key in enumerate(running, 1):
                try:
                    with around(key):
                        block = watches[key].block()
                except Exception as error:
                    results[key] = without_tensors(error)
                else:
                    made(key, block)
                tick(min(1.0, (done + place / len(running)) / settings.rounds))
            gc.collect()
            running = [key for key in running if key not in results and not watches[key].stop_reason()]
            done += 1
    for key, watch in watches.items():
        if key not in results:
            with around(key):
                results[key] = watch.timings()
    return results


def without_tensors(error: Exception) -> Exception:
    """The error, its frames' variables released: what one estimator ran out of memory with is free for the others."""
    traceback.clear_frames(error.__traceback__)
    return error


@contextmanager
def without_collection() -> Iterator[None]:
    """No automatic garbage collection inside the block; a collection there looks at the objects made there only."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
