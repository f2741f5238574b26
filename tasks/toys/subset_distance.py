"""The distance of a subset to a random point: the toy of I-MLE and SIMPLE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class SubsetDistance(Toy):
    """f(z) = |z - b|² for a standard normal b and masks with k of n items.

    For masks it is linear in z, so that the exact gradient is Cov(z) (1 - 2 b), also where there are too many masks to
    enumerate.
    """

    name = "subset-distance"
    layer = "subset {k} of {n}"
    hyperparameters = {
        "n": {"default": 10, "min": 1, "max": 10000, "about": "items"},
        "k": {"default": 5, "min": 1, "max": "n", "about": "items in a subset"},
    }
    reference = (
        "Niepert, Minervini & Franceschi 2021, Implicit MLE; Ahmed, Zeng, Niepert & Van den Broeck 2023, SIMPLE: a "
        "gradient estimator for k-subset sampling, section 5.1"
    )

    n: int
    k: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.subset(self.n, self.k),)
        self.logits = self.random(self.n, seed=1).requires_grad_()
        self.point = self.random(self.n, seed=2).requires_grad_()

    def params(self) -> Tensor:
        return self.logits

    def groups(self) -> dict[str, list[Tensor]]:
        return {"decoder": [self.point]}

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (z - self.point).square().sum(-1)

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        if estimator is not None and not estimator.targets_expectation:
            return super().exact(estimator)
        toy = SubsetDistance("cpu", torch.float64, **self.values)
        return toy._averaged(None, lambda f, latent: toy.expected(latent))

    def expected(self, latent: Latent) -> Tensor:
        """E_q f = |b|² + Σ_i P(z_i = 1) (1 - 2 b_i), [*batch]."""
        return self.point.square().sum() + latent.mean @ (1 - 2 * self.point)
