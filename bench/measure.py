"""The same table for the caller's own objective, at the caller's own parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from ..estimators.contract import Estimator, Unsupported
from ..estimators.latents import Latent, Objective, expectation
from ..estimators.registry import ESTIMATORS
from ..tasks.contract import Average, Lower, Toy
from .collectors.bias import Bias
from .collectors.evaluations import Evaluations
from .collectors.variance import Variance
from .report import tables
from .rows import outcome
from .sources import DRAWS
from .sources.build import Layers
from .sources.draws.draws import draw_gradients
from .sources.settings import DrawSettings


class Given(Toy):
    """A caller's f and latent as a task."""

    name = "given"

    def __init__(self, f: Objective, latent: Latent) -> None:
        super().__init__(latent.params.device, latent.params.dtype)
        self.f, self.given, self.layers = f, latent, (latent.spec,)
        self.leaf = latent.params.detach().requires_grad_()

    def params(self) -> Tensor:
        return self.leaf

    def latent(self, params: Tensor) -> Latent:
        return self.given.at(params)

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.f

    def in_float64(self) -> Given:
        """As it is: the caller's f may know one dtype and device only."""
        return self

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        """By enumeration, in the caller's dtype; nothing where there are too many configurations."""
        if self.layers[0].configurations > self.ENUMERABLE:
            return {}
        return self._averaged(estimator, estimator.target if estimator is not None else expectation)

    def _averaged(
        self, estimator: Estimator | None, average: Average, lower: Sequence[Lower] = ()
    ) -> dict[str, Tensor]:
        exact = super()._averaged(estimator, average, lower)
        return {group: tensor.double().cpu() for group, tensor in exact.items()}


def measure(
    f: Objective, latent: Latent, estimators: Sequence[str] = ("all",), draws: int = 64_000, seed: int = 0
) -> pd.DataFrame:
    """Bias, variance and evaluations of estimators of ∇ E_q f at `latent.params`; one line an estimator.

    f maps z [n, *batch, *event] to [n, *batch] and must broadcast over extra dimensions between n and batch: replicates
    stand there. Bounds take f for -log p(x, z), and their bias is against the gradient of their own bound. Bias needs
    at most 4096 configurations of z to enumerate; without them, as for continuous z, those columns are empty.

        measure(lambda z: (z - 0.45).square().sum(-1), Bernoulli(torch.zeros(5)), ["rloo:n=4", "disarm"])
    """
    task = Given(f, latent)
    settings = DrawSettings(rows=max(8, draws // 64), elements=float("inf"))
    rows: list[dict[str, Any]] = []
    for name in ESTIMATORS.select(estimators):
        identity = {
            "estimator": str(name),
            "family": name.family,
            "task": task.name,
            "source": DRAWS.name,
            "seed": seed,
        }
        identity |= {"data": "", "device": str(task.device), "collector": "", "tuned_steps": 0}
        try:
            layers = Layers(ESTIMATORS.find(name.family).load(), name.values, task, task.device)
            measured = draw_gradients(layers, task, settings, seed)
        except Unsupported as reason:
            rows.append(identity | outcome("unsupported", str(reason)))
            continue
        for collector in (Bias(), Variance(), Evaluations()):
            rows.extend(identity | row for row in collector.rows(measured))
    numbers = tables(pd.DataFrame(rows))[0].numbers
    return numbers.drop(columns=["task", "data", "device", "time", "time_lo", "time_hi"], errors="ignore")
