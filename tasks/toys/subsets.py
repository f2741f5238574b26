"""Toys of subsets: a random table over masks, and the distance to a random point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Latent, LatentSpec, Objective, Subset
from ...estimators.names import UsageError
from ..contract import Lower, Toy
from .tables import FunctionTable, extend


class SubsetTable(FunctionTable):
    """f(z) = table[z], one standard normal value for each of the masks with k of n items.

    extension: how f is extended to relaxed z, as for bit-table, where multilinear is Σ_m table[m] Π_{i in m} z_i over
    the masks m. The items of a subset depend on each other, so that straight-through (SIMPLE) is biased for it as well.
    """

    name = "subset"
    layer = "subset {k} of {n}"
    hyperparameters = {
        "n": {"default": 6, "min": 1, "max": 1000, "about": "items"},
        "k": {"default": 3, "min": 1, "max": 1000, "about": "items in a subset"},
        "extension": {
            "default": "cubic",
            "choices": ("multilinear", "cubic"),
            "about": "how f is extended to relaxed z",
        },
    }

    n: int
    k: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        spec = LatentSpec.subset(self.n, self.k)
        if spec.configurations > self.ENUMERABLE:
            raise UsageError(
                f"subset: at most {self.ENUMERABLE} masks, but {self.k} of {self.n} are more: lower n or k"
            )
        self.layers = (spec,)
        self.fill((self.n,), (spec.configurations,))
        self.items = Subset(self.logits.detach(), self.k).support().topk(self.k, -1).indices.unbind(-1)

    @property
    def width(self) -> int:
        return self.table.numel() * self.k

    def look_up(self, site: Tensor) -> Tensor:
        first, *others = self.items
        product = site[..., first]
        for item in others:
            product = product * site[..., item]
        return product @ self.table

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: extend(self.look_up, z, z, self.bumps, self.extension)


class SubsetDistance(Toy):
    """f(z) = |z - b|² for a standard normal b: the toy of I-MLE and SIMPLE, with k of n items.

    For masks it is linear in z, so that the exact gradient is Cov(z) (1 - 2 b), also where there are too many masks to
    enumerate.
    """

    name = "subset-distance"
    layer = "subset {k} of {n}"
    hyperparameters = {
        "n": {"default": 10, "min": 1, "max": 10000, "about": "items"},
        "k": {"default": 5, "min": 1, "max": 10000, "about": "items in a subset"},
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
