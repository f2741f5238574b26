"""Several stochastic layers: one estimator per layer, joined into one estimator of the first layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .contract import Claim, Estimate, Estimator, Lower
from .costs import documented
from .latents import Objective
from .names import Unsupported

MOST = 10_000
"""The most evaluations of the deepest f per data point: with more, a minibatch would need tens of gigabytes."""


@dataclass(frozen=True)
class LayeredEstimate(Estimate):
    """own: the estimate of the first layer's estimator. `tuning_loss` is the sum over all layers."""

    own: Estimate | None = None


class Layered(Estimator):
    """One estimator per stochastic layer, starting with the layer that is drawn first.

    The first estimator gets an f inside which the other layers are averaged over, each in the f of the layer above it:

        f = model.objective(x, latent, lower=layers.lower(generator))
        estimate = layers.estimate(f, latent, generator)

    Every evaluation of f draws the layers below anew and, if gradients are enabled, adds the tuning loss of each, which
    reaches that layer's estimator alone. Facts (`name`, `cost`, ...), hyper-parameters, claim and targets are those of
    the first estimator.

    Raises Unsupported for a bound, which is defined for one layer, and if f would be evaluated more than MOST times.
    """

    def __init__(self, estimators: Sequence[Estimator]) -> None:
        super(Estimator, self).__init__()
        self.top, *deeper = estimators
        for fact in (*Estimator.__annotations__, *self.top.hyperparameters):
            if hasattr(self.top, fact):  # a plugin may lack one, which `check` reports
                setattr(self, fact, getattr(self.top, fact))
        self.deeper = nn.ModuleList(deeper)
        self.spec = self.top.spec
        self.losses: list[Tensor] = []
        if deeper and self.top.bound:
            raise Unsupported(f"{self.top.name} is a bound of one stochastic layer, but there are {len(estimators)}")
        evaluations = [documented(estimator)[0] for estimator in estimators] if deeper else []
        if math.prod(evaluations) > MOST:
            each = " x ".join(map(str, evaluations))
            raise Unsupported(f"{self.top.name} of {len(estimators)} layers evaluates f {each} times per data point")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, (self.top, *self.deeper)))})"

    def set(self, **values: Any) -> None:
        """Change hyper-parameters in every layer. Raises UsageError as each estimator does."""
        for estimator in (self.top, *self.deeper):
            estimator.set(**values)
        self.__dict__.update({key: getattr(self.top, key) for key in values})

    def claim(self) -> Claim:
        return self.top.claim()

    def target(self, f: Objective, latent: Any) -> Tensor:
        return self.top.target(f, latent)

    def relaxed_target(self, f: Objective, latent: Any) -> Tensor | None:
        return self.top.relaxed_target(f, latent)

    @property
    def targets_expectation(self) -> bool:
        return self.top.targets_expectation

    def stand_in(self, latent: Any, zeta: Tensor) -> Tensor:
        return self.top.stand_in(latent, zeta)

    def lower(self, generator: Generator | None) -> Sequence[Lower]:
        return [self._average(estimator, generator) for estimator in self.deeper]

    def sample(self, latent: Any, generator: Generator | None) -> Any:
        return self.top.sample(latent, generator)

    def gradient(self, f: Objective, latent: Any, draw: Any) -> LayeredEstimate:
        self.losses.clear()
        own = self.top.gradient(f, latent, draw)
        if own.tuning_loss is not None:
            self.losses.append(own.tuning_loss)
        tuning_loss = torch.stack(self.losses).sum() if self.losses else None
        self.losses.clear()
        return LayeredEstimate(own.value, own.grad, tuning_loss, own.at, own)

    def update(self, draw: Any, estimate: Estimate) -> None:
        assert isinstance(estimate, LayeredEstimate) and estimate.own is not None
        self.top.update(draw, estimate.own)

    def _average(self, estimator: Any, generator: Generator | None) -> Lower:
        def averaged(f: Objective, latent: Any) -> Tensor:
            estimate = estimator.estimate(f, latent, generator)
            if estimate.tuning_loss is not None and estimate.tuning_loss.requires_grad:
                self.losses.append(confined(estimate.tuning_loss, estimator))
            # A tuning loss of the layer above may differentiate this layer twice.
            return estimate.spliced(latent, twice=True)

        return averaged


def confined(loss: Tensor, module: nn.Module) -> Tensor:
    """A scalar whose gradient in the module's own parameters is that of `loss`, and zero in everything else."""
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    with torch.enable_grad():
        return torch.stack([(p * g).sum() for p, g in zip(parameters, gradients, strict=True)]).sum()
