"""D independent bits."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..backward import transformed
from .discrete import Discrete
from .latent import finite
from .natural import PROBABILITY, unconstrained
from .noise import bits, uniform
from .spec import LatentSpec


class Bernoulli(Discrete):
    """D independent bits with params = logits φ [*batch, D]; p = σ(φ), z in {0, 1}^D."""

    axes = ("bits",)

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits)
        self.logits = self.params

    @classmethod
    def of(cls, **natural: Any) -> Self:
        """From `probs` [*batch, D]. Raises ValueError if they are not probabilities."""
        return cls(*unconstrained(cls.__name__, {"probs": PROBABILITY}, natural))

    @property
    def spec(self) -> LatentSpec:
        return LatentSpec.bernoulli(self.logits.shape[-1])

    @property
    def probs(self) -> Tensor:
        return self.logits.sigmoid()

    def tempered_probs(self, tau: float) -> Tensor:
        return (self.logits / tau).sigmoid()

    def log_prob(self, z: Tensor) -> Tensor:
        """Σ_d z_d φ_d + log σ(-φ_d)."""
        return (z * finite(self.logits) + finite(logsigmoid(-self.logits))).sum(-1)

    def score(self, z: Tensor) -> Tensor:
        """z - p."""
        return z.detach() - self.logits.detach().sigmoid()

    def configurations(self, start: int, stop: int) -> Tensor:
        bits = self.logits.shape[-1]
        index = torch.arange(start, stop, device=self.logits.device).unsqueeze(-1)
        z = (index >> torch.arange(bits, device=self.logits.device) & 1).to(self.logits.dtype)
        z = z.view(stop - start, *[1] * (self.logits.dim() - 1), bits)
        return z.expand(stop - start, *self.logits.shape)

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        p = self.logits.detach().sigmoid()
        return uniform((n, *p.shape), p, generator).lt_(p)

    def sample_many(self, n: int, generator: Generator | None) -> Tensor:
        """From a byte of noise a bit, where `sample` takes four."""
        return bits(self.logits.detach().sigmoid(), n, generator)

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Logistic noise log u - log(1 - u)."""
        return torch.logit(uniform((n, *self.logits.shape), self.logits, generator))

    def perturb(self, noise: Tensor) -> Tensor:
        return self.logits + noise

    def harden(self, perturbed: Tensor) -> Tensor:
        return perturbed.detach().clone().gt_(0)

    def relax(self, perturbed: Tensor, tau: float | Tensor) -> Tensor:
        return (perturbed / tau).sigmoid()

    def condition(self, z: Tensor, n: int, generator: Generator | None) -> Tensor:
        """z̃ = φ + logit(v'), v' = v p + 1 - p where z = 1 and v (1 - p) where z = 0 (REBAR, Tucker et al. 2017,
        appendix), written so that it keeps its sign and its precision for every φ: with s = 1 - 2 z, and with 1 - v in
        place of v where z = 0, z̃ = s [log σ(s φ - log v) + log(1 - v)].
        """
        v = uniform((n, *self.logits.shape), self.logits, generator)
        sign = 1 - 2 * z
        return sign * (logsigmoid(sign * self.logits - v.log()) + torch.log1p(-v))

    @property
    def site_shape(self) -> torch.Size:
        return self.logits.shape

    @property
    def log_class_probs(self) -> Tensor:
        logits = self.logits.detach()
        return torch.stack([logsigmoid(-logits), logsigmoid(logits)], -1)

    def classes(self, z: Tensor) -> Tensor:
        return z.long()

    def from_classes(self, classes: Tensor) -> Tensor:
        return classes.to(self.logits.dtype)

    @staticmethod
    def class_logits(logits: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(logits), finite(logits)], -1)

    @staticmethod
    def class_weights(z: Tensor) -> Tensor:
        return torch.stack([1 - z, z], -1)

    @staticmethod
    def coordinates(of_classes: Tensor) -> Tensor:
        return of_classes[..., 1]

    @staticmethod
    def softmax_jacobian(p: Tensor, v: Tensor) -> Tensor:
        return p * (1 - p) * v

    @staticmethod
    def second_moment(p: Tensor, z: Tensor, v: Tensor) -> Tensor:
        """|z - p| v."""
        return (z - p).abs() * v

    def midpoint(self, z: Tensor) -> Self:
        logits = self.logits.detach()
        return type(self)((logits.sigmoid() + z).log() - ((-logits).sigmoid() + 1 - z).log())

    def gapped(self, z: Tensor, gap: float) -> Tensor:
        """s max(s φ, gap) with s = 2 z - 1."""
        sign = 2 * z - 1
        return sign * (sign * self.logits.detach()).clamp_min(gap)

    def kl_to_prior(self) -> Tensor:
        """KL(q || Bernoulli(1/2)^D) = Σ_d p_d φ_d + log σ(-φ_d) + log 2, [*batch]."""
        return kl_to_uniform(finite(self.logits)) if transformed() else _KlToPrior.apply(self.logits)


def kl_to_uniform(logits: Tensor) -> Tensor:
    """Bernoulli.kl_to_prior at logits [*batch, D]."""
    return torch.addcmul(logsigmoid(-logits), logits.sigmoid(), logits).sum(-1) + logits.shape[-1] * math.log(2)


class _KlToPrior(torch.autograd.Function):
    """Bernoulli.kl_to_prior with its derivative p_d (1 - p_d) φ_d written out, which is faster than autograd's."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        logits = finite(logits)
        ctx.save_for_backward(logits)
        return kl_to_uniform(logits)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        p = logits.sigmoid()
        return torch.addcmul(p, p, p, value=-1).mul(logits).mul(g.unsqueeze(-1))
