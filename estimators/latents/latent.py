"""The interface of latents: a distribution to draw from, its score and, if it is enumerable, its configurations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor

from ..names import UsageError
from .spec import LatentSpec


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
