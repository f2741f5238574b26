"""The interface of latents: a distribution to draw from, its score and, if it is enumerable, its configurations."""

from __future__ import annotations

import functools
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, cast

import torch
from torch import Generator, Tensor

from ..names import UsageError

P = ParamSpec("P")
T = TypeVar("T")


def remembered(make: Callable[P, T]) -> Callable[P, T]:
    """functools.cache that keeps the types of `make`. Equal specs are one object, so that comparing them is free.

    torch.compile cannot trace a cache, and a graph break inside torch.func.grad makes it fail.
    """
    cached = cast(Callable[P, T], functools.cache(make))

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        return make(*args, **kwargs) if torch.compiler.is_compiling() else cached(*args, **kwargs)

    return made


@dataclass(frozen=True)
class LatentSpec:
    """The shape of a latent, enough to build baselines and control-variate networks.

    kind: one of KINDS. event_shape: shape of one z. param_shape: shape of its parameters. family: the continuous
    distribution, or the kind of codebook if it is not a free one. codes: how many codes encodings are quantised to.
    chosen: how many items a subset has.
    """

    kind: str
    event_shape: tuple[int, ...]
    param_shape: tuple[int, ...]
    family: str = ""
    codes: int = 0
    chosen: int = 0

    @classmethod
    @remembered
    def bernoulli(cls, bits: int) -> LatentSpec:
        """D bits, one logit each."""
        return cls("bernoulli", (bits,), (bits,))

    @classmethod
    @remembered
    def categorical(cls, sites: int, classes: int) -> LatentSpec:
        """N one-hot sites of K classes, K logits each."""
        return cls("categorical", (sites, classes), (sites, classes))

    @classmethod
    @remembered
    def subset(cls, items: int, chosen: int) -> LatentSpec:
        """Subsets of so many of the items, one logit each. Raises UsageError unless 1 <= chosen <= items."""
        if not (isinstance(chosen, int) and 1 <= chosen <= items):
            raise UsageError(
                f"a subset has a whole number of items, from 1 to all {items}: give k in this range, not {chosen}"
            )
        return cls("subset", (items,), (items,), chosen=chosen)

    @classmethod
    @remembered
    def encodings(cls, sites: int, width: int, codes: int, family: str = "") -> LatentSpec:
        """N sites, each an encoding of this width, quantised to one of so many codes."""
        return cls("encodings", (sites, width), (sites, width), family, codes)

    @classmethod
    @remembered
    def continuous(cls, family: str, sites: int, columns: int) -> LatentSpec:
        """N sites of a continuous family, with so many parameters each; `Gaussian` and others have a `spec`."""
        return cls("continuous", (sites,), (sites, columns), family)

    @classmethod
    @remembered
    def sequence(cls, steps: int, tokens: int) -> LatentSpec:
        """At most T tokens out of K, one of which ends the sequence; K logits for each prefix that has not ended.

        Raises UsageError for an empty sequence and for fewer than two tokens.
        """
        if steps < 1 or tokens < 2:
            raise UsageError(f"a sequence has at least 1 step and 2 tokens, one of which ends it, not {steps}x{tokens}")
        return cls("sequence", (steps, tokens), (sum((tokens - 1) ** t for t in range(steps)), tokens))

    @property
    def classes(self) -> int:
        """How many values one site can take: 2 for bits and for the items of subsets, the codes for encodings; 0 for a
        continuous latent.
        """
        sites = {"bernoulli": 2, "subset": 2, "categorical": self.event_shape[-1], "sequence": self.event_shape[-1]}
        return sites.get(self.kind, self.codes)

    @property
    def configurations(self) -> int:
        """How many values z can take; sys.maxsize for a continuous latent."""
        if self.chosen:
            return math.comb(self.event_shape[0], self.chosen)
        if self.kind == "sequence":
            return sum((self.classes - 1) ** t for t in range(self.event_shape[0] + 1))
        return int(self.classes ** self.event_shape[0]) if self.classes else sys.maxsize

    def __str__(self) -> str:
        if self.chosen:
            return f"{self.kind} {self.chosen} of {self.event_shape[0]}"
        return f"{self.family or self.kind} {'x'.join(map(str, self.event_shape))}"


def expand_right(a: Tensor, like: Tensor) -> Tensor:
    """`a` with trailing dimensions of size 1 added until it broadcasts against `like` from the left."""
    return a.reshape(a.shape + (1,) * (like.dim() - a.dim()))


def widened(tensor: Tensor) -> Tensor:
    """The tensor in float32 if its dtype is narrower, else itself; differentiable.

    Eight bits of mantissa hold neither a uniform near 0 nor a sum of many terms.
    """
    return tensor if tensor.dtype.itemsize >= 4 else tensor.float()


def finite(logits: Tensor) -> Tensor:
    """Infinite logits as very large ones, so that 0 · ∞ is 0 where a certain or an impossible event has no share.

    No gradient reaches an infinite logit.
    """
    largest = torch.finfo(logits.dtype).max / 4
    return logits.clamp(-largest, largest)


def out_of_autocast(like: Tensor) -> AbstractContextManager[Any]:
    """Autocast off on the device of `like`; nothing where it is off already, as on devices without it."""
    device = like.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def kept_wide(convert: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A conversion of a module's tensors that leaves out a narrowing below float32, as of `module.half()`."""

    def converted(tensor: Tensor) -> Tensor:
        found = convert(tensor)
        narrow = found.is_floating_point() and found.dtype.itemsize < 4
        return widened(tensor).to(found.device) if narrow else found

    return converted


class Latent(ABC):
    """A distribution over z [*batch, *event] with one packed tensor `params` [*batch, *param_shape].

    Shapes follow torch.distributions: n draws have shape [n, *batch, *event]. `score` and `sample` see detached
    parameters; `log_prob` and `kl_to_prior` are differentiable.

    `params` holds float16 and bfloat16 parameters as float32, so that noise, z, scores and log-probabilities are in
    float32 or better. An estimator hands z to f in `dtype`, that of the parameters given.
    """

    def __init__(self, params: Tensor) -> None:
        self.params = widened(params)
        self.dtype = params.dtype

    axes: ClassVar[tuple[str, ...]] = ()
    """The names of the dimensions of one z."""
    finite_score: ClassVar[bool] = True
    """Whether the score has a finite variance."""

    @classmethod
    def from_spec(cls, spec: LatentSpec, params: Tensor) -> Self:
        """The latent of this spec with these parameters [*batch, *param_shape]."""
        return cls(params)

    @property
    @abstractmethod
    def spec(self) -> LatentSpec:
        """Its shape, for which estimators are made."""

    @property
    def batch_shape(self) -> torch.Size:
        """The leading dimensions of params: independent replicates."""
        return self.params.shape[: self.params.dim() - len(self.spec.param_shape)]

    def __repr__(self) -> str:
        """Its sizes without values, which the device may still be computing."""
        sizes = dict(zip(self.axes, self.spec.event_shape, strict=False))
        if self.spec.codes:
            sizes["codes"] = self.spec.codes
        if self.spec.chosen:
            sizes["chosen"] = self.spec.chosen
        shown = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        return f"{type(self).__name__}(batch={tuple(self.batch_shape)}, {shown})"

    def at(self, params: Tensor) -> Self:
        """The same distribution at other parameters; in half precision f still sees z in `dtype`."""
        moved = self._at(params)
        if self.dtype != self.params.dtype:
            moved.dtype = self.dtype
        return moved

    def _at(self, params: Tensor) -> Self:
        return type(self)(params)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that the distribution depends on and gradients reach: the parameters, and those of a codebook."""
        return [self.params]

    def validate(self) -> None:
        """Raises UsageError if `tensors` are not finite. It waits for the device: call it once, not in every step."""
        if not all(bool(tensor.isfinite().all()) for tensor in self.tensors):
            raise UsageError(
                f"the parameters of this {self.spec} latent hold NaN or infinity; check the encoder's input and weights"
            )

    @abstractmethod
    def sample(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of z, [n, *batch, *event], without a gradient."""

    def sample_many(self, n: int, generator: Generator | None) -> Tensor:
        """As `sample`, of other noise where that takes less time; for bounds of thousands of draws."""
        return self.sample(n, generator)

    @property
    def behaviour(self) -> Latent:
        """The distribution that off-policy estimators draw from: of sequences an earlier policy, else this one."""
        return self

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E_q z, [*batch, *event]; differentiable."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z), [n, *batch]."""

    @abstractmethod
    def score(self, z: Tensor) -> Tensor:
        """∇_params log q(z), detached, [n, *batch, *param_shape]."""

    def weighted_score(self, z: Tensor, weight: Tensor, *, mean: bool) -> tuple[Tensor, Tensor | None]:
        """(1/n) Σ_k w_k ∇ log q(z_k), without 1/n if not `mean`, and the tensor that it is the gradient at, None for
        the parameters. weight: [n, *batch], without a gradient."""
        score = self.score(z)
        terms = expand_right(weight, score) * score
        return terms.mean(0) if mean else terms.sum(0), None

    @abstractmethod
    def kl_to_prior(self) -> Tensor:
        """KL(q || p), [*batch], with p the kind's own prior: uniform over configurations, standard normal, ..."""

    @abstractmethod
    def prior_log_prob(self, z: Tensor) -> Tensor:
        """log p(z) under that prior, [n, *batch]."""


class Enumerable(Latent):
    """A latent with finitely many configurations, all of equal probability under its prior."""

    @abstractmethod
    def configurations(self, start: int, stop: int) -> Tensor:
        """The configurations of z numbered start to stop - 1, [stop - start, *batch, *event]."""

    def support(self) -> Tensor:
        """Every configuration of z, [configurations, *batch, *event]."""
        return self.configurations(0, self.spec.configurations)

    def blocks(self, size: int) -> Iterator[Tensor]:
        """`support` in blocks of at most `size` configurations."""
        total = self.spec.configurations
        for start in range(0, total, size):
            yield self.configurations(start, min(start + size, total))

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return z.new_full(z.shape[: z.dim() - len(self.spec.event_shape)], -math.log(self.spec.configurations))


Objective = Callable[[Tensor], Tensor]
"""f: z [n, *batch, *event] -> [n, *batch], one value per z; what an estimator differentiates the mean of."""


def expectation(f: Objective, latent: Latent) -> Tensor:
    """E_q f(z) = Σ_z q(z) f(z) by enumeration, [*batch]; differentiable in everything f and q depend on.

    Raises TypeError for a continuous latent.
    """
    if not isinstance(latent, Enumerable):
        raise TypeError(f"a {latent.spec} latent cannot be enumerated")
    z = latent.support()
    return (latent.log_prob(z).exp() * f(z.to(latent.dtype))).sum(0)
