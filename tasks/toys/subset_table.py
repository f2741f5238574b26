"""A random function table over subsets: arbitrary f of masks, extended to relaxed z in a chosen way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective, Subset
from ...estimators.names import UsageError
from ..contract import Lower
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
        "k": {"default": 3, "min": 1, "max": "n", "about": "items in a subset"},
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
