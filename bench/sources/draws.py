"""Gradient draws of an estimator on a toy: the raw material of bias and variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ...estimators.contract import Claim, Estimator, Unsupported
from ...estimators.counting import CountedObjective
from ...estimators.layered import Layered
from ...estimators.tuning import Tuner
from ...tasks.contract import Task, Toy, flatten
from ..rows import OWN
from ..statistics.moments import Accumulator, Moments
from .costs import Costs, count_costs
from .settings import DrawSettings
from .streams import stream

OF_F = ("value", "decoder")
"""Groups that move with f alone; the others move with the law of z."""
COUNTED_ROWS, COUNTED_ELEMENTS, TUNING_SHARE = 8, 2e7, 8


@dataclass(frozen=True)
class Work:
    """Evaluations and differentiations of f for one gradient draw, and the deterministic costs of a call for `rows`."""

    evaluations: int
    differentiations: int
    costs: Costs
    rows: int

    def draws(self, elements: float, most: int) -> int:
        """How many draws, at most `most`, make about `elements` numbers of 4 bytes, over all operations."""
        return int(min(most, max(1, 4 * elements * self.rows / self.costs.bytes)))


@dataclass(frozen=True)
class Draws:
    """What was measured: moments of each group's gradient beside its exact value [D].

    relaxed: the same of the estimator's own relaxed objective; empty where it has none or that is not known.
    """

    moments: dict[str, Moments]
    exact: dict[str, np.ndarray]
    relaxed: dict[str, np.ndarray]
    work: Work
    tuned_steps: int
    claim: Claim

    def finite_variance(self, group: str) -> bool:
        """By the method's own claim, which is about the groups that the law of z moves."""
        return self.claim.finite_variance or group.removesuffix(OWN) in OF_F

    @property
    def judged(self) -> dict[str, tuple[Moments, np.ndarray]]:
        """Each group's moments and exact value; under group + OWN, against the own relaxed objective."""
        found = {group: (self.moments[group], exact) for group, exact in self.exact.items()}
        return found | {group + OWN: (self.moments[group], exact) for group, exact in self.relaxed.items()}


class Layers(Layered):
    """An estimator for each stochastic layer of a task, sharing its name and hyper-parameters."""

    def __init__(self, cls: type[Estimator], values: dict[str, Any], task: Task, device: torch.device) -> None:
        if cls.differentiates and not task.differentiable:
            raise Unsupported(f"{cls.name} differentiates f, and this f is defined on discrete z only")
        with device:
            super().__init__([cls(spec, **values) for spec in task.layers])

    @property
    def whole(self) -> Estimator:
        """What to train with: all of them as one, or the only one."""
        return self if len(self.deeper) else self.top


def draw_gradients(layers: Layers, task: Toy, settings: DrawSettings, seed: int) -> Draws:
    """Tune if there is anything to tune, freeze, then draw. Raises whatever the estimator raises, and UsageError for
    parameters that are not finite.
    """
    task.latent(task.params()).validate()
    work = count_work(layers, task)
    tuned = tune(layers, task, settings, seed, work.draws(settings.chunk_elements / TUNING_SHARE, settings.tuning_rows))
    layers.eval()
    look = f"/look {settings.look}" if settings.look else ""
    sample, lower = stream(seed, f"sample{look}", task.device), stream(seed, f"lower{look}", task.device)
    rows = work.draws(settings.elements / settings.blocks, settings.rows)
    chunk = work.draws(settings.chunk_elements, rows)
    exact = {group: tensor.flatten() for group, tensor in task.exact(layers.top).items()}
    accumulators: dict[str, Accumulator] = {}
    for _ in range(settings.blocks):
        for start in range(0, rows, chunk):
            count = min(chunk, rows - start)
            for group, draws in _draw(layers, task, count, sample, lower).items():
                if group not in accumulators:
                    direction = unit(exact[group]).to(draws) if group in exact else None
                    accumulators[group] = Accumulator(settings.blocks, rows, direction)
                accumulator = accumulators[group]
                if draws.dim() == 2:
                    accumulator.add(draws)
                else:
                    accumulator.add_sum(draws, count)
    moments = {group: accumulator.finish() for group, accumulator in accumulators.items()}
    for group, moment in moments.items():
        if not np.isfinite(moment.variance).all():
            raise FloatingPointError(f"the gradient draws of group {group!r} hold NaN or infinity")
    known = {group: tensor.numpy() for group, tensor in exact.items()}
    relaxed = {group: tensor.flatten().numpy() for group, tensor in task.relaxed(layers.top).items()}
    return Draws(moments, known, relaxed, work, tuned, layers.top.claim())


def unit(vector: Tensor) -> Tensor:
    """The vector scaled to length 1; zero stays zero."""
    return vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)


def count_calls(layers: Layers, task: Toy) -> tuple[int, int]:
    """Evaluations and differentiations of f that one gradient draw makes."""
    layers.eval()
    once = task.params()
    latent = task.latent(once.expand(1, *once.shape))
    generator = stream(0, "count", task.device)
    f, _ = task.loss_parts(layers.top, latent, layers.lower(generator))
    counted = CountedObjective(f)
    shared = [tensor for group in task.groups().values() for tensor in group]
    layers.top(counted, latent, generator).sum().backward(inputs=[once, *shared])
    return counted.evaluations, counted.differentiations


def count_work(layers: Layers, task: Toy) -> Work:
    """Of COUNTED_ROWS gradient draws in eval(), fewer where f alone makes them very wide."""
    evaluations, differentiations = count_calls(layers, task)
    rows = int(min(COUNTED_ROWS, max(1, COUNTED_ELEMENTS / (max(1, evaluations) * task.width))))
    sample, lower = stream(0, "count", task.device), stream(0, "count-lower", task.device)
    return Work(evaluations, differentiations, count_costs(lambda: _draw(layers, task, rows, sample, lower)), rows)


def _draw(layers: Layers, task: Toy, rows: int, sample: Generator, lower: Generator) -> dict[str, Tensor]:
    """One backward pass for `rows` replicates: value and cut [rows, D], each shared group's sum over rows [D]."""
    once = task.params()
    params = once.expand(rows, *once.shape)
    latent = task.latent(params)
    f, regulariser = task.loss_parts(layers.top, latent, layers.lower(lower))
    loss = layers.top(f, latent, sample)
    if regulariser is not None:
        loss = loss + regulariser
    shared = task.groups()
    wanted = [params, *(tensor for group in shared.values() for tensor in group)]
    gradients = iter(torch.autograd.grad(loss.sum(), wanted, allow_unused=True, materialize_grads=True))
    result = {"value": loss.detach().flatten(1) if loss.dim() > 1 else loss.detach().unsqueeze(-1)}
    result["cut"] = next(gradients).flatten(1)
    return result | {name: flatten([next(gradients) for _ in group]) for name, group in shared.items()}


def tune(layers: Layers, task: Toy, settings: DrawSettings, seed: int, rows: int) -> int:
    """Move running state and tuned parameters at the frozen parameters, `rows` draws a step; returns the steps."""
    if not any(True for _ in (*layers.parameters(), *layers.buffers())):
        return 0
    generator, lower = stream(seed, "tuning", task.device), stream(seed, "tuning-lower", task.device)
    tuner = Tuner(layers, lr=1e-2)
    layers.train()
    for _ in range(settings.tuning_steps):
        once = task.params().detach()
        latent = task.latent(once.expand(rows, *once.shape))
        f, _ = task.loss_parts(layers.top, latent, layers.lower(lower))
        tuner.step(layers.estimate(f, latent, generator).tuning_loss)
    return settings.tuning_steps
