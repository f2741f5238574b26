"""Polynomial programming: drive the values of many categorical variables to a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Categorical, Latent, LatentSpec, Objective
from ..contract import Lower, Toy


class Polynomial(Toy):
    """f(z) = mean_i |w · z_i - target|^p over N sites of K classes, whose classes have the values w in [0, 1].

    codes: `random` values, standard normal ones shifted and scaled to [0, 1], the same at all sites; or `integer`
    codes, index/(K - 1), so that the classes are ordered by their value. Training starts at logits uniform in
    (-.01, .01).

    E f = mean_i Σ_k π_ik |w_k - target|^p.
    """

    name = "polynomial"
    layer = "categorical {n}x{k}"
    hyperparameters = {
        "n": {"default": 128, "min": 1, "max": 10000, "about": "sites"},
        "k": {"default": 4, "min": 2, "max": 1000, "about": "classes per site"},
        "p": {"default": 2.0, "min": 1.0, "about": "exponent"},
        "target": {"default": 0.45, "about": "target of the value of each site"},
        "codes": {"default": "random", "choices": ("random", "integer"), "about": "values of the classes"},
    }
    sources = ("draws", "clock", "descent")
    reference = "Hooper & Shekhovtsov 2026, polynomial programming; for bits, Liu et al. 2023"
    WITHIN = 0.01

    n: int
    k: int
    p: float
    target: float
    codes: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.layers = (LatentSpec.categorical(self.n, self.k),)
        codes = torch.arange(self.k, dtype=torch.float32)
        if self.codes == "random":
            codes = torch.randn(self.k, generator=torch.Generator().manual_seed(0))
        self.values_of_classes = self.constant((codes - codes.min()) / (codes.max() - codes.min()))
        self.logits = self.start(1, torch.Generator().manual_seed(1))[0].requires_grad_()

    def params(self) -> Tensor:
        return self.logits

    def start(self, replicates: int, generator: Generator) -> Tensor:
        uniform = torch.rand(replicates, self.n, self.k, generator=generator, device=generator.device)
        return self.constant(self.WITHIN * (2 * uniform - 1))

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: (z @ self.values_of_classes - self.target).abs().pow(self.p).mean(-1)

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        if estimator is not None and not estimator.targets_expectation:
            return super().exact(estimator)
        task = Polynomial("cpu", torch.float64, **self.values)
        of_classes = (task.values_of_classes - task.target).abs().pow(task.p)
        value = (Categorical(task.logits).probs @ of_classes).mean()
        return {"value": value.detach(), "cut": torch.autograd.grad(value, task.logits)[0]}
