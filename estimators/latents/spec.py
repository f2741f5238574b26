"""The shape of a latent: its kind, the shapes of z and of the parameters, and how many values z can take."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

import torch

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
