"""Toys of continuous latents: E_q f(z) as a formula in the parameters, differentiated by autograd in float64."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import FAMILIES, Continuous, LatentSpec
from ..contract import Toy

CENTRES = {
    "student-t": (0.0, -0.5, math.log(20)),
    "log-normal": (0.0, math.log(0.25)),
    "gamma": (math.log(3), 0.5),
    "chi-squared": (math.log(4),),
    "f": (math.log(6), math.log(40)),
    "weibull": (0.0, math.log(2)),
}
"""The centre of the parameters of families whose tails at params = 0 are too heavy to measure a variance."""


class ClosedForm(Toy):
    """Abstract: D sites of one family, parameters within about a third of their centre."""

    family: str
    d: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        columns = FAMILIES[self.family].columns(self.d)
        self.layers = (LatentSpec.continuous(self.family, self.d, columns),)
        centre = self.constant(torch.tensor(CENTRES.get(self.family, (0.0,) * columns), dtype=torch.float64))
        self.unconstrained = (centre + 0.3 * self.random(self.d, columns, seed=1)).requires_grad_()

    def params(self) -> Tensor:
        return self.unconstrained

    @abstractmethod
    def expected(self, latent: Continuous) -> Tensor:
        """E_q f(z), [*batch], differentiable in the latent's parameters."""

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        if estimator is not None and not estimator.targets_expectation:
            return super().exact(estimator)
        task = type(self)("cpu", torch.float64, **self.values)
        latent = task.latent(task.params())
        assert isinstance(latent, Continuous)
        value = task.expected(latent)
        return {"value": value.detach(), "cut": torch.autograd.grad(value, task.params())[0]}
