"""What a task is: it makes the latent's parameters, the objective and, for toys, the exact gradient."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..estimators.contract import Estimator, Lower
from ..estimators.latents import Latent, LatentSpec, Objective, expectation, latent_at
from ..estimators.names import resolve
from ..estimators.registry import TOY_SOURCES

Average = Callable[[Objective, Any], Tensor | None]
"""How a toy's f is averaged exactly: (f, latent) -> [*batch], or None where that cannot be done."""


class Task(ABC):
    """Abstract base of toys and VAEs. The class body holds the facts as literals, as for estimators.

    layers: the latents from the top down; an estimator is built for each. version: raise it when the task's meaning
    changes, so that stored cells are measured again. sources: which measurements it supports, of "draws" (gradient
    draws against an exact gradient), "steps" (training) and "clock". dataset: "mnist" for a task that reads it.
    layer: the top one in words, for readers, with hyper-parameters in braces (`{n:20}`: 20 where n is 0); of each
    arch where that decides.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]]
    hyperparameters: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    reference: ClassVar[str] = ""
    dataset: ClassVar[str] = ""
    layer: ClassVar[str | Mapping[str, str]] = ""

    layers: tuple[LatentSpec, ...]
    data: str = ""

    def __init__(self, **values: Any) -> None:
        for key, value in resolve(self.name, self.hyperparameters, values).items():
            setattr(self, key, value)

    @property
    def differentiable(self) -> bool:
        """Whether f accepts relaxed z and has gradients there."""
        return True

    def latent(self, params: Tensor) -> Latent:
        """The top layer's latent."""
        return latent_at(self.layers[0], params)


class Toy(Task):
    """A fixed objective at fixed parameters, on one device and in one dtype.

    The loss of a row is E_q f(z) + regulariser, and of a bound that bound on the energy; its gradient at the cut, and
    in each group of shared parameters, is known to float64.
    """

    sources = TOY_SOURCES
    ENUMERABLE = 2**12

    def __init__(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, **values: Any) -> None:
        super().__init__(**values)
        self.values, self.device, self.dtype = values, torch.device(device), dtype

    @abstractmethod
    def params(self) -> Tensor:
        """The top latent's parameters [*batch, *param_shape], requiring gradients."""

    @abstractmethod
    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        """f: z [n, *batch, *event] -> [n, *batch], with one `lower` for each layer under the first."""

    def groups(self) -> dict[str, list[Tensor]]:
        """Named parameters shared by all rows whose gradients are checked too: f's own, and the encoder's."""
        return {}

    def regulariser(self, latent: Latent) -> Tensor | None:
        """The analytic part of the loss, [*batch], outside f; None when there is none."""
        return None

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        """-log p(x, z), shaped as f, without the latent's parameters: what bounds are made of; by default f."""
        return self.objective(latent, lower)

    def loss_parts(
        self, estimator: Estimator | None, latent: Latent, lower: Sequence[Lower] = ()
    ) -> tuple[Objective, Tensor | None]:
        """What this estimator is given as f, and what is added to its loss: for a bound the energy, and nothing."""
        if estimator is not None and estimator.bound:
            return self.energy(latent, lower), None
        return self.objective(latent, lower), self.regulariser(latent)

    @property
    def width(self) -> int:
        """How many numbers the widest intermediate of one evaluation of f holds; it sizes the blocks."""
        return self.params().numel()

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        """In float64 on the CPU: "value" [*batch], "cut" [*batch, *param_shape] and each group, flattened.

        Of E_q f(z), or of the estimator's own target; of the latter, nothing above ENUMERABLE configurations of z.
        """
        own = estimator is not None and not estimator.targets_expectation
        if own and self.layers[0].configurations > self.ENUMERABLE:
            return {}
        average = expectation if estimator is None else estimator.target
        return self.in_float64()._averaged(estimator, average, [average] * (len(self.layers) - 1))

    def relaxed(self, estimator: Estimator) -> dict[str, Tensor]:
        """As `exact`, of the estimator's own E f(ζ); nothing where that is not known, or there are lower layers."""
        if len(self.layers) > 1 or estimator.claim().target != "own-relaxed":
            return {}
        toy = self.in_float64()
        return toy._averaged(estimator, copy.deepcopy(estimator).to(toy.device).relaxed_target)

    def in_float64(self) -> Toy:
        """The same toy in float64 on the CPU."""
        return type(self)("cpu", torch.float64, **self.values)

    def _averaged(
        self, estimator: Estimator | None, average: Average, lower: Sequence[Lower] = ()
    ) -> dict[str, Tensor]:
        """The value that `average` makes of f, and its gradients; nothing where it makes none."""
        params = self.params()
        latent = self.latent(params)
        f, regulariser = self.loss_parts(estimator, latent, lower)
        value = average(f, latent)
        if value is None:
            return {}
        if regulariser is not None:
            value = value + regulariser
        shared = self.groups()
        wanted = [params, *(tensor for group in shared.values() for tensor in group)]
        gradients = iter(torch.autograd.grad(value.sum(), wanted))
        exact = {"value": value.detach(), "cut": next(gradients)}
        return exact | {name: flatten([next(gradients) for _ in group]) for name, group in shared.items()}

    def random(self, *shape: int, seed: int) -> Tensor:
        """Standard normal constants, drawn in float64 on the CPU: the same in every dtype and on every device."""
        generator = torch.Generator().manual_seed(seed)
        return self.constant(torch.randn(*shape, generator=generator, dtype=torch.float64))

    def constant(self, values: Tensor) -> Tensor:
        return values.to(self.dtype).to(self.device)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All tensors as one vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])
