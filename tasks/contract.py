"""What a task is: the latent's parameters, the objective and, for toys, the exact gradient."""

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
"""How a toy's f is averaged exactly: (f, latent) -> [*batch], or None where that is not possible."""


class Task(ABC):
    """Abstract base of toys and VAEs. The class body holds the facts as literals, as for estimators.

    layers: the latents from the top down; an estimator is built for each. version: raise it when the task's meaning
    changes, so that stored cells are measured again. sources: the measurements that it supports, out of "draws"
    (gradient draws against an exact gradient), "enumeration" (their exact moments), "steps" (training), "descent"
    (training of a toy) and "clock". dataset: "mnist" for a task that reads
    it. layer: the top latent as text for readers, with hyper-parameters in braces (`{n:20}`: 20 if n is 0); or the
    hyper-parameter that decides it, whose choices are then a dict to such texts.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]]
    hyperparameters: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    reference: ClassVar[str] = ""
    dataset: ClassVar[str] = ""
    layer: ClassVar[str] = ""

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

    The loss of a replicate is E_q f(z) + regulariser, or for a bound its bound on the energy. The logits gradient and
    the gradient in each group of shared parameters are known to float64 precision.
    """

    sources: ClassVar[tuple[str, ...]] = TOY_SOURCES
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

    def start(self, replicates: int, generator: torch.Generator) -> Tensor:
        """Where trainings of the top latent's parameters start, [replicates, *param_shape]; by default at `params`."""
        once = self.params().detach()
        return once.expand(replicates, *once.shape)

    def groups(self) -> dict[str, list[Tensor]]:
        """Named parameters shared by all replicates, whose gradients are checked too: f's own, and the encoder's."""
        return {}

    def regulariser(self, latent: Latent) -> Tensor | None:
        """The analytic part of the loss, [*batch], outside f; None if there is none."""
        return None

    def energy(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        """-log p(x, z), shaped as f, without the latent's parameters, from which bounds are made; by default f."""
        return self.objective(latent, lower)

    def loss_parts(
        self, estimator: Estimator | None, latent: Latent, lower: Sequence[Lower] = ()
    ) -> tuple[Objective, Tensor | None]:
        """The f that this estimator gets, and the regulariser added to its loss: for a bound the energy, and None."""
        if estimator is not None and estimator.bound:
            return self.energy(latent, lower), None
        return self.objective(latent, lower), self.regulariser(latent)

    @property
    def width(self) -> int:
        """The size of the largest intermediate tensor in one evaluation of f, by which blocks of draws are sized."""
        return self.params().numel()

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        """The exact "value" [*batch], its logits gradient "cut" [*batch, *param_shape] and the gradient of each group,
        flattened; in float64 on the CPU.

        They are of E_q f(z), or of the estimator's own target; then empty above ENUMERABLE configurations of z.
        """
        own = estimator is not None and not estimator.targets_expectation
        if own and self.layers[0].configurations > self.ENUMERABLE:
            return {}
        average = expectation if estimator is None else estimator.target
        return self.in_float64()._averaged(estimator, average, [average] * (len(self.layers) - 1))

    def relaxed(self, estimator: Estimator) -> dict[str, Tensor]:
        """As `exact`, for the estimator's own E f(ζ); empty if it is not known or there are lower layers."""
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
        """The average of f and its gradients; empty if `average` gives None."""
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
