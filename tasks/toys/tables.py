"""Random function tables: arbitrary discrete f, extended to relaxed z in a chosen way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...estimators.latents import Latent, LatentSpec, Objective
from ...estimators.names import UsageError
from ..contract import Lower, Toy


def multilinear(table: Tensor, site: Tensor) -> Tensor:
    """Σ_k table[k_1, ..., k_N] Π_i site[..., i, k_i]: table [K, ..., K], site [*shape, N, K] -> [*shape]."""
    first, *others = site.unbind(-2)
    total = first @ table.reshape(first.shape[-1], -1)
    for weights in others:
        total = (weights.unsqueeze(-1) * total.unflatten(-1, (weights.shape[-1], -1))).sum(-2)
    return total.squeeze(-1)


def extend(table: Callable[[Tensor], Tensor], site: Tensor, z: Tensor, bumps: Tensor, extension: str) -> Tensor:
    """The table at z, a multilinear function of `site`, extended to relaxed z by the named extension."""
    if extension == "none":
        return table(site.detach().round())
    value = table(site)
    if extension == "multilinear":
        return value
    bump = z * (1 - z) if extension == "bumpy" else z * (1 - z) * (1 - 2 * z)
    return value + (bumps * bump).flatten(-bumps.dim()).sum(-1)


class FunctionTable(Toy):
    """Abstract: standard normal logits, table and bumps of the given shapes, and how f is extended."""

    extension: str

    def fill(self, logits: tuple[int, ...], table: tuple[int, ...]) -> None:
        self.logits = self.random(*logits, seed=1).requires_grad_()
        self.table = self.random(*table, seed=2).requires_grad_()
        self.bumps = self.random(*logits, seed=3)

    @property
    def differentiable(self) -> bool:
        return self.extension != "none"

    @property
    def width(self) -> int:
        return self.table.numel()

    def params(self) -> Tensor:
        return self.logits

    def look_up(self, site: Tensor) -> Tensor:
        """The multilinear extension of the table at the sites of z."""
        return multilinear(self.table, site)

    def groups(self) -> dict[str, list[Tensor]]:
        return {"decoder": [self.table]}


class BitTable(FunctionTable):
    """f(b) = table[b], one standard normal value for each of the 2^D configurations.

    extension: how f is extended to relaxed b, with the same values at bits. `multilinear`, for which straight-through
    is exactly unbiased; `bumpy` = multilinear + Σ_d c_d b_d (1 - b_d), which shows its bias; `cubic` = multilinear +
    Σ_d c_d b_d (1 - b_d) (1 - 2 b_d), which also shows the bias of estimators that are exact for quadratics; `none`: f
    is defined on bits only, and estimators that differentiate it are unsupported.
    """

    name = "bit-table"
    layer = "bernoulli {d}"
    hyperparameters = {
        "d": {"default": 6, "min": 1, "max": 12, "about": "bits"},
        "extension": {
            "default": "bumpy",
            "choices": ("none", "multilinear", "bumpy", "cubic"),
            "about": "how f is extended to relaxed z",
        },
    }

    d: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.bernoulli(self.d),)
        self.fill((self.d,), (2,) * self.d)

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: extend(self.look_up, torch.stack([1 - z, z], -1), z, self.bumps, self.extension)


class CategoryTable(FunctionTable):
    """f(z) = table[z], one standard normal value for each of the K^N configurations of N sites of K classes.

    extension: as for bit-table, with bumps Σ_ik c_ik z_ik (1 - z_ik), for cubic times (1 - 2 z_ik).
    """

    name = "category-table"
    layer = "categorical {n}x{k}"
    hyperparameters = {
        "n": {"default": 2, "min": 1, "max": 6, "about": "sites"},
        "k": {"default": 4, "min": 2, "max": 16, "about": "classes per site"},
        "extension": {
            "default": "bumpy",
            "choices": ("none", "multilinear", "bumpy", "cubic"),
            "about": "how f is extended to relaxed z",
        },
    }
    LIMIT = 2**12

    n: int
    k: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.k**self.n > self.LIMIT:
            raise UsageError(f"category-table: k^n must be at most {self.LIMIT}, got {self.k}^{self.n}")
        self.layers = (LatentSpec.categorical(self.n, self.k),)
        self.fill((self.n, self.k), (self.k,) * self.n)

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: extend(self.look_up, z, z, self.bumps, self.extension)
