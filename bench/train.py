"""The training of a task's model with one estimator, from Python: the loop that a run measures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch

from ..estimators.contract import Estimator
from ..estimators.layered import Layered
from ..estimators.names import Name, UsageError
from ..estimators.registry import ESTIMATORS, TASKS
from ..tasks.contract import Task
from .collectors.training import Training
from .sources import STEPS
from .sources.build import Layers
from .sources.settings import TrainSettings
from .sources.training.loop import train as train_loop
from .sources.training.point import Diverged, Point

Numbers = dict[str, float]


def train(
    estimator: str | type[Estimator] | Estimator,
    task: str = "mnist-vae",
    steps: int = 500,
    evaluations: int = 5,
    seed: int = 0,
    device: str = "cpu",
    on_point: Callable[[Numbers], object] | None = None,
) -> pd.DataFrame:
    """Train the model of a task with an estimator, evaluating it along the way; one line per evaluation.

    estimator: a name as on the command line, an `Estimator` class, or an estimator made for the task's latent, which is
    trained itself. task: the name of a VAE on MNIST, such as `mnist-vae:arch=categorical`. evaluations: how many, at
    evenly spaced steps; the last is after the last step. seed: of the model, the data and the noise, the same numbers
    as in a run. on_point: called at each evaluation with its numbers by name: step, seconds of training without
    evaluations, evaluations of f per data point, elbo_test in nats, and the other metrics of a training.

        train("rloo:n=4", "mnist-vae:arch=linear", steps=200, on_point=print)

    A training whose loss is not finite ends with a warning and the lines so far.

    Raises UsageError for unknown names, a task that is not trained, an estimator of another latent, and fewer than one
    step per evaluation; Unsupported for an estimator that is not defined for the task.
    """
    if not 1 <= evaluations <= steps:
        raise UsageError(f"train needs at least one step per evaluation, not steps={steps}, evaluations={evaluations}")
    model = _task(task, device)
    whole = _estimator(estimator, model, torch.device(device))
    lines: list[Numbers] = []

    def note(point: Point) -> None:
        lines.append(numbers(point))
        if on_point is not None:
            on_point(lines[-1])

    settings = TrainSettings(steps=steps, seconds=float("inf"), evaluations=evaluations)
    try:
        train_loop(model, whole, settings, seed, tick=lambda fraction: None, on_point=note)
    except Diverged as end:
        warnings.warn(f"{end}: the training ended there; try a smaller learning rate", stacklevel=2)
    return pd.DataFrame(lines)


def numbers(point: Point) -> Numbers:
    """The numbers of an evaluation by name, each a mean over images or draws."""
    rows = {row["metric"]: float(row["value"]) for row in Training().rows([point])}
    return {"step": point.step, "seconds": point.seconds, "evaluations": point.evaluations} | rows


def _task(text: str, device: str) -> Any:
    name = Name.parse(text)
    plugin = TASKS.find(name.family)
    if STEPS.name not in plugin.fact("sources", ()):
        trained = ", ".join(sorted(each.name for each in TASKS if STEPS.name in each.fact("sources", ())))
        raise UsageError(f"the task {name.family!r} is not trained; choose one of {trained}")
    return plugin.load()(device=device, **name.values)


def _estimator(asked: str | type[Estimator] | Estimator, task: Task, device: torch.device) -> Estimator:
    if isinstance(asked, Estimator):
        layers = [asked, *asked.deeper] if isinstance(asked, Layered) else [asked]
        if (made := tuple(each.spec for each in layers)) != task.layers:
            raise UsageError(f"{asked!r} was made for {made}, but the latents of this task are {task.layers}")
        return asked
    build = partial(Layers, task=task, device=device)
    if isinstance(asked, str):
        name = Name.parse(asked)
        return build(ESTIMATORS.find(name.family).load(), name.values).whole
    if isinstance(asked, type) and issubclass(asked, Estimator):
        return build(asked, {}).whole
    raise UsageError(f"train takes a name, an Estimator class or an estimator, not {asked!r}")
