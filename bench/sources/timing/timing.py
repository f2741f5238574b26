"""Time per phase of a gradient draw on a toy, and of a training step of a model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ....estimators.contract import Estimator, Unsupported
from ....estimators.counting import CountedObjective
from ....tasks.contract import Task, Toy
from ....tasks.vae.mnist_task import MnistTask
from ..build import Layers, build_layers, build_task
from ..costs import count_costs
from ..draws.work import count_work
from ..gradient import GradientDraw, draw_gradient, model_problem, toy_problem
from ..settings import ClockSettings
from ..source import Hooks, Outcome, Result, S, attempt
from ..streams import stream
from ..training.step import TrainStep
from .block_journal import Journal
from .clock import Timeline
from .rounds import time_group
from .stopwatch import Timed


def time_together(subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
    """Time the subjects of one task and seed in interleaved rounds, resuming from the blocks in the journal."""
    journal, first = hooks.in_flight if isinstance(hooks.in_flight, Journal) else Journal(None), subjects[0]
    built = attempt(first, hooks, lambda subject: Outcome("ok", build_task(subject)))
    if isinstance(built, Exception) or built.status != "ok":
        return dict.fromkeys(subjects, built)
    task = built.measured
    results: dict[S, Result] = {}
    for subject in subjects:
        hooks.begin(subject)
        results[subject] = attempt(subject, hooks, lambda subject: Outcome("ok", timed(subject, task)))
    ready = {subject: r.measured for subject, r in results.items() if isinstance(r, Outcome) and r.status == "ok"}
    kept, parts = journal.blocks(), {subject: subject.part() for subject in ready}
    timings = time_group(
        ready,
        torch.device(first.device),
        first.settings,
        first.seed,
        tick=lambda done: hooks.tick(done * len(subjects)),
        earlier={subject: kept.get(part, []) for subject, part in parts.items()},
        made=lambda subject, block: journal.add(parts[subject], block),
        around=hooks.guard,
    )
    for subject, found in timings.items():
        if isinstance(found, Unsupported):
            results[subject] = Outcome("unsupported", reason=str(found))
        else:
            results[subject] = found if isinstance(found, Exception) else Outcome("ok", found)
    return results


def timed(subject: S, task: Task) -> Timed:
    """The call to time for a subject: a gradient draw on a toy, a training step of a model. Raises Unsupported."""
    layers = build_layers(subject, task)
    if isinstance(task, Toy):
        return timed_draws(layers, task, subject.settings, subject.seed)
    assert isinstance(task, MnistTask)
    return timed_steps(task, layers.whole, subject.seed)


def timed_draws(layers: Layers, task: Toy, settings: ClockSettings, seed: int) -> Timed:
    """Gradient draws: sample, objective (every evaluation of f), gradient, and backward to the parameters of q."""
    count = count_work(layers, task).draws(settings.elements, settings.rows)
    sample, lower = stream(seed, "sample", task.device), stream(seed, "lower", task.device)
    once, problem = task.params().detach(), toy_problem(task)

    def replicates() -> Tensor:
        return once.expand(count, *once.shape).detach().requires_grad_()

    def call(timeline: Timeline) -> None:
        params = replicates()
        drawn = draw_gradient(problem, layers.top, params, sample, layers.lower(lower), timeline=timeline)
        timeline.mark("objective_backward")
        torch.autograd.grad(drawn.value.sum(), params, allow_unused=True)
        timeline.mark("end")

    def gradient(generator: Generator | None) -> None:
        params = replicates()
        drawn = draw_gradient(problem, layers.top, params, generator, layers.lower(generator))
        torch.autograd.grad(drawn.value.sum(), params, allow_unused=True)

    return Timed(call, gradient, per=count)


def timed_steps(task: MnistTask, estimator: Estimator, seed: int) -> Timed:
    """A training step whose minibatch is already on the device, so that no data loading is timed. Raises Unsupported
    for an estimator that the task cannot evaluate."""
    step = TrainStep(task, estimator, seed)
    data = task.batches(stream(seed, "data", task.device))
    batches = [next(data) for _ in range(8)]
    task.check(step.vae, batches[0], estimator)
    following = itertools.cycle(batches)
    vae, counted, generator = step.vae, CountedObjective(), stream(seed, "costs", task.device)
    problem = model_problem(vae, batches[0])

    def call(timeline: Timeline) -> None:
        step(next(following), timeline)

    def differentiate(drawn: GradientDraw) -> None:
        if drawn.estimate.tuning_loss is not None:
            torch.autograd.grad(drawn.estimate.tuning_loss, step.tuner.parameters, retain_graph=True, allow_unused=True)
        trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
        torch.autograd.grad(drawn.value.mean(), trained, allow_unused=True)

    def gradient(generator: Generator | None) -> None:
        params = vae.encode(batches[0])
        differentiate(draw_gradient(problem, estimator, params, generator, estimator.lower(generator)))

    params = vae.encode(batches[0])
    differentiate(draw_gradient(problem, estimator, params, generator, estimator.lower(generator), counted.watch))
    return Timed(call, gradient, 1, count_costs(lambda: gradient(generator)), counted)
