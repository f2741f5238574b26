"""The base of continuous latents: packed unconstrained parameters, reparametrised draws, the score by autograd."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor

from ...backward import leaf_of
from ...names import Unsupported
from ..latent import Latent, LatentSpec
from ..natural import Constraint, unconstrained


class Continuous(Latent):
    """Abstract: z [*batch, D] with params [*batch, D, P], unconstrained: positive parameters as logarithms.

    family: its name. natural: its natural parameters, in the order of the columns of params. finite_path: whether the
    pathwise gradient has a mean for every f with a bounded derivative. The prior is the family at params = 0.
    """

    axes = ("sites",)
    family: ClassVar[str]
    natural: ClassVar[Mapping[str, Constraint]]
    finite_path: ClassVar[bool] = True

    @classmethod
    def of(cls, **natural: Any) -> Self:
        """From natural parameters, each [*batch, D]. Raises ValueError if one is missing or out of its range."""
        return cls(cls.pack(unconstrained(cls.__name__, cls.natural, natural)))

    @classmethod
    def pack(cls, columns: Sequence[Tensor]) -> Tensor:
        """params, packed from the unconstrained value of each natural parameter."""
        return torch.stack(torch.broadcast_tensors(*columns), -1)

    @classmethod
    def columns(cls, sites: int) -> int:
        """P for this many sites."""
        return len(cls.natural)

    @property
    def spec(self) -> LatentSpec:
        sites, columns = self.params.shape[-2:]
        return LatentSpec.continuous(self.family, sites, columns)

    @abstractmethod
    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of z, differentiable in params, [n, *batch, D]."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E z, [*batch, D]; inf or NaN where it does not exist."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Var z, [*batch, D]; inf or NaN where it does not exist."""

    @property
    @abstractmethod
    def covariance(self) -> Tensor:
        """Cov z, [*batch, D, D]."""

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        with torch.no_grad():
            return self.rsample(n, generator)

    def score(self, z: Tensor) -> Tensor:
        """∇ log q(z) by autograd, at one copy of the parameters per draw."""
        with torch.enable_grad():
            each = leaf_of(self.params.expand(len(z), *self.params.shape))
            return torch.autograd.grad(type(self)(each).log_prob(z.detach()).sum(), each)[0]

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return type(self)(torch.zeros_like(self.params)).log_prob(z)

    def kl_to_prior(self) -> Tensor:
        """Raises Unsupported if the family has no closed form here."""
        raise Unsupported(f"the KL of a {self.family} latent to its prior has no closed form here: take kl=sampled")


class Sites(Continuous):
    """Abstract: D independent sites."""

    @abstractmethod
    def site_log_prob(self, z: Tensor) -> Tensor:
        """log q of each site, [n, *batch, D]."""

    @property
    def covariance(self) -> Tensor:
        return self.variance.diag_embed()

    def log_prob(self, z: Tensor) -> Tensor:
        return self.site_log_prob(z).sum(-1)


class FixedNoise(Continuous):
    """Abstract: z = g(φ, ε), g invertible in ε [n, *batch, D], whose distribution has no parameters.

    log q(z) = log p(ε) - log |det ∂z/∂ε| (Paul 2023, section 1.7, with its sign corrected).
    """

    @abstractmethod
    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """ε, [n, *batch, D]."""

    @abstractmethod
    def transform(self, noise: Tensor) -> Tensor:
        """z = g(φ, ε), differentiable in params."""

    @abstractmethod
    def noise_log_prob(self, noise: Tensor) -> Tensor:
        """log p of each coordinate of ε, [n, *batch, D]."""

    def rsample(self, n: int, generator: Generator | None) -> Tensor:
        return self.transform(self.noise(n, generator))


def positive(log_z: Tensor) -> Tensor:
    """exp(log_z), kept within the positive floats."""
    limits = torch.finfo(log_z.dtype)
    return log_z.clamp(math.log(limits.tiny), math.log(limits.max / 2)).exp()


def proper_fraction(log_z: Tensor) -> Tensor:
    """exp(log_z) of log_z ≤ 0, kept strictly between 0 and 1."""
    limits = torch.finfo(log_z.dtype)
    return log_z.exp().clamp(limits.tiny, 1 - limits.eps / 2)
