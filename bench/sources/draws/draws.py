"""Gradient draws of an estimator on a toy, from which bias and variance are estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....estimators.contract import Claim
from ....tasks.contract import Toy
from ...rows import OWN
from ...statistics.moments import Accumulator, Moments
from ..build import Layers
from ..gradient import toy_problem
from ..settings import DrawSettings
from ..streams import stream
from ..tuning import tune
from .replicates import draw_replicates
from .work import Work, count_work

OF_F = ("value", "decoder", "prior")
"""The value of f, and the gradients at f's own parameters; all other groups are gradients at parameters of q."""
TUNING_SHARE = 8


@dataclass(frozen=True)
class Draws:
    """The moments of each group's gradient, and its exact gradient [D].

    points: the data points of the toy, whose equal parts of the logits gradient stand one after the other.

    relaxed: the exact gradient [D] of the estimator's own relaxed objective; empty when it has none or it is unknown.
    """

    moments: dict[str, Moments]
    exact: dict[str, np.ndarray]
    relaxed: dict[str, np.ndarray]
    work: Work
    tuned_steps: int
    claim: Claim
    points: int

    def finite_variance(self, group: str) -> bool:
        """Whether the estimator claims a finite variance for this group; its claim does not cover the groups of f."""
        return self.claim.finite_variance or group.removesuffix(OWN) in OF_F

    @property
    def judged(self) -> dict[str, tuple[Moments, np.ndarray]]:
        """The moments of each group and its exact gradient; under group + OWN, that of its own relaxed objective."""
        found = {group: (self.moments[group], exact) for group, exact in self.exact.items()}
        return found | {group + OWN: (self.moments[group], exact) for group, exact in self.relaxed.items()}


def draw_gradients(layers: Layers, task: Toy, settings: DrawSettings, seed: int) -> Draws:
    """Tune the estimator if it has anything to tune, freeze it, then draw.

    Raises UsageError when the toy's parameters are not finite, FloatingPointError when the draws are not, and whatever
    the estimator raises.
    """
    task.latent(task.params()).validate()
    work = count_work(layers, task)
    tuned = tune_on(
        layers, task, settings, seed, work.draws(settings.chunk_elements / TUNING_SHARE, settings.tuning_rows)
    )
    layers.eval()
    look = f"/look {settings.look}" if settings.look else ""
    sample, lower = stream(seed, f"sample{look}", task.device), stream(seed, f"lower{look}", task.device)
    per_block = work.draws(settings.elements / settings.blocks, settings.rows)
    chunk = work.draws(settings.chunk_elements, per_block)
    exact = {group: tensor.flatten() for group, tensor in task.exact(layers.top).items()}
    accumulators: dict[str, Accumulator] = {}
    for _ in range(settings.blocks):
        for start in range(0, per_block, chunk):
            count = min(chunk, per_block - start)
            for group, draws in draw_replicates(layers, task, count, sample, lower).items():
                if group not in accumulators:
                    direction = unit(exact[group]).to(draws) if group in exact else None
                    accumulators[group] = Accumulator(settings.blocks, per_block, direction)
                accumulator = accumulators[group]
                if draws.dim() == 2:
                    accumulator.add(draws)
                else:
                    accumulator.add_sum(draws, count)
    moments = {group: accumulator.finish() for group, accumulator in accumulators.items()}
    for group, moment in moments.items():
        if not np.isfinite(moment.variance).all():
            raise FloatingPointError(f"the gradient draws of group {group!r} contain NaN or infinity")
    known = {group: tensor.numpy() for group, tensor in exact.items()}
    relaxed = {group: tensor.flatten().numpy() for group, tensor in task.relaxed(layers.top).items()}
    points = math.prod(task.latent(task.params()).batch_shape)
    return Draws(moments, known, relaxed, work, tuned, layers.top.claim(), points)


def unit(vector: Tensor) -> Tensor:
    """The vector scaled to length 1; zero stays zero."""
    return vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)


def tune_on(layers: Layers, task: Toy, settings: DrawSettings, seed: int, replicates: int) -> int:
    """Tune at the toy's parameters, with `replicates` draws per step; returns the number of steps."""
    once = task.params().detach()
    generator, lower = stream(seed, "tuning", task.device), stream(seed, "tuning-lower", task.device)
    params = once.expand(replicates, *once.shape)
    return tune(toy_problem(task), layers.whole, params, settings.tuning_steps, generator, layers.lower(lower))
