"""The table of estimators for the caller's own objective, at the caller's own parameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..estimators.contract import Estimator, Unsupported
from ..estimators.latents import Latent, Objective, expectation
from ..estimators.names import Name, UsageError
from ..estimators.registry import ESTIMATORS
from ..estimators.validation import check_latent, checked, unsettled
from ..tasks.contract import Average, Lower, Toy
from .collectors.bias import Bias
from .collectors.evaluations import Evaluations
from .collectors.variance import Variance
from .report import tables_of
from .rows import outcome
from .sources import DRAWS
from .sources.build import Layers, require_differentiable
from .sources.draws.draws import draw_gradients
from .sources.settings import DrawSettings
from .sources.streams import stream

Asked = str | type[Estimator] | Estimator
BLOCK = 64
LEAST = 8 * BLOCK
"""The fewest draws: 8 in each block."""


class Given(Toy):
    """A caller's f and latent as a task. Raises what f raises at a draw of z, and UsageError for a wrong shape."""

    name = "given"

    def __init__(self, f: Objective, latent: Latent) -> None:
        super().__init__(latent.params.device, latent.params.dtype)
        self.f, self.given, self.layers = f, latent, (latent.spec,)
        self.leaf = latent.params.detach().requires_grad_()
        self.sloped = sloped(checked(f, latent), latent.sample(2, stream(0, "probe", self.device)))

    @property
    def differentiable(self) -> bool:
        return self.sloped

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
        if self.layers[0].configurations > self.ENUMERABLE:
            return {}
        return self._averaged(estimator, estimator.target if estimator is not None else expectation)

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
        except (RuntimeError, Unsupported):  # f leaves torch, such as by z.numpy(), or its value has no gradient
            return False
        return torch.autograd.grad(value.sum(), leaf, allow_unused=True)[0] is not None


class Own(Layers):
    """A copy of the caller's own estimator, so that measuring it moves nothing of theirs."""

    def __init__(self, estimator: Estimator, task: Given) -> None:
        require_differentiable(estimator, task)
        super(Layers, self).__init__([copy.deepcopy(estimator)])


def measure(
    f: Objective,
    latent: Latent,
    estimators: Asked | Iterable[Asked] = "all",
    draws: int = 64_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Bias, variance and evaluations of estimators of ∇ E_q f at `latent.params`; one line per estimator.

    f maps z [n, *batch, *event] to [n, *batch] and must broadcast over extra dimensions between n and batch: replicates
    stand there. Bounds take f for -log p(x, z), and their bias is against the gradient of their own bound. Bias needs
    at most 4096 configurations of z to enumerate; without them, as for continuous z, those columns are empty.

    estimators: one or several of names as on the command line, `Estimator` classes, and estimators made for this
    latent. Those with parameters of their own are first tuned, on a copy; an estimator in eval() is measured as it is.
    One that fails has the verdict `error`, one that is not defined for this latent or f `unsupported`; `reason` says
    why.

        measure(lambda z: (z - 0.45).square().sum(-1), Bernoulli(torch.zeros(5)), ["rloo:n=4", "disarm"])

    Raises UsageError for anything else, for an estimator of another latent, for an f of another shape, for an empty
    latent and for fewer than 512 draws; what f raises; and, if every estimator fails, what the first one raised.
    """
    if not isinstance(draws, int) or draws < LEAST:
        raise UsageError(f"measure needs a whole number of draws, at least {LEAST}, not draws={draws!r}")
    if not latent.params.numel():
        raise UsageError(f"the latent {latent!r} is empty: give it at least one element")
    latent.validate()
    task = Given(f, latent)
    if problem := unsettled(f, latent):
        warnings.warn(problem, stacklevel=2)
    settings = DrawSettings(rows=draws // BLOCK, elements=float("inf"))
    rows: list[dict[str, Any]] = []
    errors: list[Exception] = []
    asked = makers(estimators, task)
    for name, make in asked.items():
        identity: dict[str, Any] = {"estimator": name, "family": name.partition(":")[0], "seed": seed, "data": ""}
        identity |= {
            "task": task.name,
            "source": DRAWS.name,
            "device": str(task.device),
            "collector": "",
            "tuned_steps": 0,
        }
        try:
            layers = make()
            tuned = settings if layers.top.training else replace(settings, tuning_steps=0)
            measured = draw_gradients(layers, task, tuned, seed)
        except Unsupported as reason:
            rows.append(identity | outcome("unsupported", str(reason)))
            continue
        except Exception as error:
            error.add_note(f"measuring {name}")
            errors.append(error)
            rows.append(identity | outcome("error", f"{type(error).__name__}: {error}"))
            continue
        for collector in (Bias(), Variance(), Evaluations()):
            rows.extend(identity | row for row in collector.rows(measured))
    if errors and len(errors) == len(asked):
        raise errors[0]
    numbers = tables_of(pd.DataFrame(rows))[0].numbers
    reasons = {row["estimator"]: row["reason"] for row in rows if row["metric"] == ""}
    numbers["reason"] = [reasons.get(name, "") for name in numbers["estimator"]]
    return numbers.drop(columns=["task", "data", "device", "time", "time_lo", "time_hi"], errors="ignore")


def makers(estimators: Asked | Iterable[Asked], task: Given) -> dict[str, Callable[[], Layers]]:
    """A factory per estimator, by the name asked for, which is numbered if it is taken already."""
    found: dict[str, Callable[[], Layers]] = {}
    texts: set[str] = set()

    def add(name: str, make: Callable[[], Layers]) -> None:
        count = sum(name == known.partition(" (")[0] for known in found)
        found[f"{name} ({count + 1})" if count else name] = make

    if isinstance(estimators, str) or not isinstance(estimators, Iterable):
        estimators = [estimators]
    for asked in estimators:
        if isinstance(asked, str):
            for text, name in named(asked):
                if text not in texts:
                    add(text, partial(Layers, ESTIMATORS.find(name.family).load(), name.values, task, task.device))
                texts.add(text)
        elif isinstance(asked, Estimator):
            check_latent(asked.name, asked.spec, task.given)
            add(repr(asked), partial(Own, asked, task))
        elif isinstance(asked, type) and issubclass(asked, Estimator) and not inspect.isabstract(asked):
            add(asked.name, partial(Layers, asked, {}, task, task.device))
        else:
            raise UsageError(f"measure takes names, Estimator classes and estimators, not {asked!r}")
    if not found:
        raise UsageError("measure was given no estimator: name one, or all")
    return found


def named(text: str) -> Iterator[tuple[str, Name]]:
    """Each name that a text asks for, as given, with its canonical form; for a glob, the names that it matches."""
    try:
        ESTIMATORS.find(text.partition(":")[0])
    except UsageError:
        yield from ((str(name), name) for name in ESTIMATORS.select([text]))
    else:
        yield from ((str(name), ESTIMATORS.canonical(name)) for name in Name.sweep(text))
