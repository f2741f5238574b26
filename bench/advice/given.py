"""The caller's problem, f at a latent, as a toy; and the estimators asked for, as factories."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from ...estimators.contract import Estimator, Unsupported
from ...estimators.latents import Latent, Objective, expectation
from ...estimators.names import Name, Sweep, UsageError
from ...estimators.registry import ESTIMATORS
from ...estimators.validation import check_latent, checked
from ...tasks.contract import Average, Lower, Toy
from ..sources.build import Layers, require_differentiable
from ..sources.streams import stream

Asked = str | type[Estimator] | Estimator


class Given(Toy):
    """A caller's f and latent as a task. Raises what f raises at a draw of z, and UsageError for a wrong shape, for an
    empty latent and for parameters that are not finite.
    """

    name = "given"

    def __init__(self, f: Objective, latent: Latent) -> None:
        if not latent.params.numel():
            raise UsageError(f"the latent {latent!r} is empty: give it at least one element")
        latent.validate()
        super().__init__(latent.params.device, latent.params.dtype)
        self.f, self.given, self.layers = f, latent, (latent.spec,)
        self.leaf = latent.params.detach().requires_grad_()
        self.sloped = sloped(checked(f, latent), latent.sample(2, stream(0, "probe", self.device)))
        self.of_f: dict[str, Tensor] = {}

    @property
    def differentiable(self) -> bool:
        return self.sloped

    @property
    def enumerable(self) -> bool:
        """Whether E f can be computed by enumeration."""
        return self.layers[0].configurations <= self.ENUMERABLE

    def params(self) -> Tensor:
        return self.leaf

    def latent(self, params: Tensor) -> Latent:
        return self.given.at(params)

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return self.f

    def in_float64(self) -> Given:
        """Itself: the caller's f may support one dtype and device only."""
        return self

    def exact(self, estimator: Estimator | None = None) -> dict[str, Tensor]:
        """By enumeration, in the caller's dtype; empty if there are too many configurations."""
        if not self.enumerable:
            return {}
        if estimator is not None and not estimator.targets_expectation:
            return self._averaged(estimator, estimator.target)
        if not self.of_f:  # every estimator of E f shares it
            self.of_f = self._averaged(estimator, expectation)
        return self.of_f

    def _averaged(
        self, estimator: Estimator | None, average: Average, lower: Sequence[Lower] = ()
    ) -> dict[str, Tensor]:
        exact = super()._averaged(estimator, average, lower)
        return {group: tensor.double().cpu() for group, tensor in exact.items()}


def sloped(f: Objective, z: Tensor) -> bool:
    """Whether f has a gradient in z. Raises what f raises at z."""
    f(z.clone())
    leaf = z.clone().requires_grad_()
    with torch.enable_grad():
        try:
            value = f(leaf.clone())
        except (RuntimeError, Unsupported):  # f leaves torch, as by z.numpy(), or its value has no graph
            return False
        return torch.autograd.grad(value.sum(), leaf, allow_unused=True)[0] is not None


class Own(Layers):
    """A copy of the caller's own estimator, so that measuring it moves nothing of theirs."""

    def __init__(self, estimator: Estimator, task: Given) -> None:
        require_differentiable(estimator, task)
        super(Layers, self).__init__([copy.deepcopy(estimator)])


Make = Callable[[], Layers]


def makers(estimators: Asked | Iterable[Asked], task: Given) -> tuple[dict[str, Make], set[str]]:
    """A factory per estimator, by the name asked for, which is numbered if it is taken already.

    And those of them that a word or a glob asked for: where they do not apply, nobody needs to know. Raises UsageError
    for anything but names, `Estimator` classes and estimators of this latent, and for none.
    """
    found: dict[str, Make] = {}
    texts: set[str] = set()
    unnamed: set[str] = set()

    def add(name: str, make: Make) -> None:
        count = sum(name == earlier.partition(" (")[0] for earlier in found)
        found[f"{name} ({count + 1})" if count else name] = make

    if isinstance(estimators, str) or not isinstance(estimators, Iterable):
        estimators = [estimators]
    for asked in estimators:
        if isinstance(asked, str):
            for text, name, given in named(asked):
                if text not in texts:
                    add(text, partial(Layers, ESTIMATORS.find(name.family).load(), name.values, task, task.device))
                    unnamed.add(text)
                texts.add(text)
                if given:
                    unnamed.discard(text)
        elif isinstance(asked, Estimator):
            check_latent(asked.name, asked.spec, task.given)
            add(repr(asked), partial(Own, asked, task))
        elif isinstance(asked, type) and issubclass(asked, Estimator) and not inspect.isabstract(asked):
            add(asked.name, partial(Layers, asked, {}, task, task.device))
        else:
            raise UsageError(f"give names, Estimator classes and estimators, not {asked!r}")
    if not found:
        raise UsageError("no estimator was given: name one, or all")
    return found, unnamed


def named(text: str) -> Iterator[tuple[str, Name, bool]]:
    """Each name that a text asks for, its canonical form, and whether the text names it, not a word or a glob.

    One name stays as it was written, `gumbel-softmax:tau=.5`.
    """
    try:
        ESTIMATORS.find(text.partition(":")[0].strip())
    except UsageError:
        yield from ((str(name), name, False) for name in ESTIMATORS.select([text]))
    else:
        names = Name.sweep(text)
        whole = Sweep.parse(text).size == 1 and "{" not in text
        yield from ((text.strip() if whole else str(name), ESTIMATORS.canonical(name), True) for name in names)
