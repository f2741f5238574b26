"""The case on which a property is tested: one estimator on one kind of latent, with a nonlinear f."""

from __future__ import annotations

import contextlib
import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from ...estimators.contract import Estimate, Estimator, Unsupported
from ...estimators.latents import Latent, LatentSpec, latent_at
from ...estimators.names import Name
from ...estimators.registry import Plugin
from ...estimators.tuning import Tuner

SPECS = {
    "bernoulli": (LatentSpec.bernoulli(4), LatentSpec.bernoulli(1)),
    "categorical": (LatentSpec.categorical(2, 3), LatentSpec.categorical(1, 4)),
    "subset": (LatentSpec.subset(4, 2), LatentSpec.subset(3, 1)),
    "encodings": (LatentSpec.encodings(2, 2, 4), LatentSpec.encodings(2, 2, 4, "linear-codebook")),
    "continuous": (LatentSpec.continuous("gaussian", 4, 2),),
    "sequence": (LatentSpec.sequence(3, 3),),
}
FEATURES = 5
TUNED_STEPS = 5


class Failed(Exception):
    """The property does not hold; the message is one sentence."""


class Skipped(Exception):
    """The property cannot be tested; the message is the reason."""


def require(holds: bool | Tensor, sentence: str) -> None:
    """Raises Failed with the sentence unless it holds."""
    if not holds:
        raise Failed(sentence)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Softplus:
    """f(z) = Σ softplus(W z + x), with x [*batch, FEATURES]. Raises Failed for z of a wrong shape or dtype."""

    latent: Latent
    weight: Tensor
    x: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        spec, dtype = self.latent.spec, self.latent.dtype
        shape = (*self.latent.batch_shape, *spec.event_shape)
        require(
            z.dim() == len(shape) + 1 and tuple(z.shape[1:]) == shape,
            f"f is given z of shape {tuple(z.shape)}, not [n, *batch, *event] = [n, {', '.join(map(str, shape))}]",
        )
        require(z.dtype == dtype, f"f is given z in {z.dtype}, but the parameters are in {dtype}")
        return softplus(z.flatten(-len(spec.event_shape)) @ self.weight + self.x).sum(-1)


@dataclass(frozen=True)
class Case:
    """An estimator's class with its hyper-parameters, and one kind of latent that it declares."""

    plugin: Plugin
    name: Name
    cls: type[Estimator]
    kind: str
    spec: LatentSpec = field(init=False)

    def __post_init__(self) -> None:
        """Raises Skipped if the estimator supports none of the sizes tried."""
        reason = ""
        for spec in SPECS[self.kind]:
            try:
                self.cls(spec, **self.name.values)
            except Unsupported as unsupported:
                reason = str(unsupported)
            else:
                object.__setattr__(self, "spec", spec)
                return
        raise Skipped(reason)

    def fresh(self, dtype: torch.dtype = torch.float32, **values: Any) -> Estimator:
        """A new estimator, its hyper-parameters overridden by `values`."""
        return self.cls(self.spec, **(self.name.values | values)).to(dtype)

    def tuned(self, steps: int = TUNED_STEPS) -> Estimator:
        """The estimator in eval() and float64 after a few training steps, which update and tune it; always the same."""
        estimator = self.fresh(torch.float64).train()
        tuner, generator = Tuner(estimator, lr=0.05), seeded(3)
        with global_generators(3):
            for _ in range(steps):
                latent = self.latent(self.params(8))
                tuner.step(estimator.estimate(self.objective(latent), latent, generator).tuning_loss)
        return estimator.eval()

    def params(self, *batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*batch, *self.spec.param_shape, generator=seeded(1), dtype=torch.float64).to(dtype)

    def latent(self, params: Tensor) -> Latent:
        return latent_at(self.spec, params)

    def objective(self, latent: Latent, x: Tensor | None = None) -> Softplus:
        """A nonlinear f with its own data x [*batch, FEATURES] for each replicate."""
        if x is None:
            x = torch.randn(*latent.batch_shape, FEATURES, generator=seeded(4), dtype=torch.float64)
        weight = torch.randn(math.prod(self.spec.event_shape), FEATURES, generator=seeded(2), dtype=torch.float64)
        return Softplus(latent, weight.to(latent.dtype), x.to(latent.dtype))


@dataclass(frozen=True)
class Answer:
    """An estimate, the gradient that reaches the parameters, and whether torch's global generator was used."""

    estimate: Estimate
    value: Tensor
    gradient: Tensor
    global_moved: bool

    @property
    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "value", self.value
        yield "gradient", self.gradient


def answer(case: Case, estimator: Estimator, params: Tensor, seed: int = 0, elsewhere: int = 0) -> Answer:
    """Estimate at these parameters with this seed, and differentiate in them. The estimator is not changed.

    elsewhere: the seed of the global generators, which should not matter.
    """
    leaf = params.detach().requires_grad_()
    latent = case.latent(leaf)
    with global_generators(elsewhere):
        before = torch.get_rng_state()
        estimate = copy.deepcopy(estimator).estimate(case.objective(latent), latent, seeded(seed))
        moved = not torch.equal(before, torch.get_rng_state())
    return Answer(estimate, estimate.value.detach(), gradient_at(leaf, estimate.spliced(latent)), moved)


@contextlib.contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside the block, and restore them after it."""
    python, array, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(tensor)


def gradient_at(leaf: Tensor, loss: Tensor) -> Tensor:
    """∇ Σ loss at the leaf. Raises Failed if no gradient arrives there."""
    require(loss.requires_grad, "the loss has no gradient at all")
    (gradient,) = torch.autograd.grad(loss.sum(), leaf, allow_unused=True, retain_graph=True)
    require(gradient is not None, "no gradient reaches the latent's parameters")
    return gradient


def worst(found: Tensor, expected: Tensor) -> float:
    """The largest difference; infinite if one is NaN where the other is not."""
    difference = torch.where(found.isnan() & expected.isnan(), 0.0, (found - expected).abs())
    return float(difference.nan_to_num(nan=math.inf).max()) if difference.numel() else 0.0
