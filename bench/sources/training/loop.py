"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ....estimators.contract import Estimator
from ....estimators.names import UsageError
from ....tasks.vae.mnist_task import MnistTask
from ..settings import TrainSettings
from .basket import Basket
from .checkpoint import Checkpoint
from .point import Diverged, Point
from .trajectory import Trajectory


def train(
    task: MnistTask,
    estimator: Estimator,
    settings: TrainSettings,
    seed: int,
    tick: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    on_point: Callable[[Point], object] = lambda point: None,
) -> list[Point]:
    """Train for `steps` steps or `seconds`, whichever ends first, evaluating at evenly spaced steps and at the last.

    After the last step, what needs the frozen model is trained, in no part of `seconds`. `tick` receives the fraction
    of steps done, `on_point` each evaluation. Training resumes from a checkpoint, and at equal thread counts to the
    same bits. Raises Diverged, with the curve so far, when the loss or a parameter is not finite at an evaluation or
    the loss is not defined any more, and UsageError when the untrained encoder's parameters are not.
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

    def keep() -> None:
        if checkpoint.due:
            state = {"done": done, "trained": trained, "points": list(map(vars, points)), "run": run.state_dict()}
            checkpoint.save(state)

    @contextmanager
    def diverging(updates: int) -> Iterator[None]:
        try:
            yield
        except (UsageError, RuntimeError) as error:
            if reason := run.undefined(error, updates):
                raise Diverged(done, points, reason) from error
            raise

    def measure(last: bool) -> None:
        with diverging(updates=done):
            points.append(run.point(done, trained, settings, basket, last))
        on_point(points[-1])
        tick(done / settings.steps)

    start, last = time.perf_counter(), run.finishing is not None
    while not last:
        done += 1
        with diverging(updates=done - 1):
            loss = run.advance(done)
        last = done == settings.steps or trained + time.perf_counter() - start > settings.seconds
        evaluated = done in at or last
        if not evaluated and not checkpoint.due:
            continue
        if evaluated and (reason := run.divergence(loss)):
            raise Diverged(done, points, reason)
        trained += time.perf_counter() - start
        if not last:
            if evaluated:
                measure(last)
            keep()
        start = time.perf_counter()
    for _ in run.finish(done):
        keep()
    measure(last)
    return points
