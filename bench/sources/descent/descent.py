"""Gradient descent on a toy's parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ....estimators.names import Unsupported
from ....estimators.tuning import Tuner
from ....tasks.contract import Toy
from ..build import Layers
from ..gradient import draw_gradient, toy_problem
from ..settings import DescentSettings
from ..streams import stream


@dataclass(frozen=True)
class Epoch:
    """The mean loss over the steps since the epoch before, each before its update, of every training, [replicates]."""

    step: int
    loss: np.ndarray

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.loss).all())

    @property
    def reason(self) -> str:
        return f"the loss was not finite by step {self.step}"


def descend(
    layers: Layers, toy: Toy, settings: DescentSettings, seed: int, tick: Callable[[float], None]
) -> list[Epoch]:
    """Adam on the top latent's parameters, from `toy.start`; f's own parameters stay as they are.

    The trainings are independent, since each replicate has parameters of its own and Adam treats every coordinate by
    itself; an estimator's own parameters, if it has any, are shared. Training ends at an epoch whose loss is not
    finite. Raises Unsupported for more than one stochastic layer.
    """
    if len(toy.layers) > 1:
        raise Unsupported(f"{toy.name} has more than one stochastic layer, and descent trains the top one alone")
    params = toy.start(settings.replicates, stream(seed, "start", toy.device)).clone().requires_grad_()
    estimator, problem, generator = layers.top.train(), toy_problem(toy), stream(seed, "sample", toy.device)
    optimizer, tuner = torch.optim.Adam([params], settings.lr, fused=True), Tuner(estimator)
    at = {round(settings.steps * k / settings.evaluations) for k in range(1, settings.evaluations + 1)}
    epochs: list[Epoch] = []
    total, begun = torch.zeros(settings.replicates, device=toy.device), 0
    for step in range(1, settings.steps + 1):
        drawn = draw_gradient(problem, estimator, params.expand(settings.batch, *params.shape), generator)
        tuner.step(drawn.estimate.tuning_loss)
        loss = drawn.loss.mean(0)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        total += loss.detach()
        if step in at:
            epochs.append(Epoch(step, (total / (step - begun)).cpu().double().numpy()))
            total, begun = torch.zeros_like(total), step
            tick(step / settings.steps)
            if not epochs[-1].finite:
                break
    return epochs
