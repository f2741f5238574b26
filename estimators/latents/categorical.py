"""N independent one-hot variables of K classes."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Generator, Tensor
from torch.nn.functional import embedding

from .discrete import Discrete
from .latent import finite
from .natural import SIMPLEX, unconstrained
from .noise import gumbel, log_exponential, uniform
from .spec import LatentSpec

LANES = 16


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the classes of [*, N, K].

    With fewer than LANES classes it runs on the transposed tensor, for which torch's CPU kernel is far faster.
    """
    return logits.softmax(-1) if logits.shape[-1] >= LANES else logits.mT.softmax(-2).mT


def log_softmax(logits: Tensor) -> Tensor:
    """The logarithm of `softmax`."""
    return logits.log_softmax(-1) if logits.shape[-1] >= LANES else logits.mT.log_softmax(-2).mT


class Categorical(Discrete):
    """N independent one-hot sites of K classes with params = logits φ [*batch, N, K]; π = softmax(φ)."""

    axes = ("sites", "classes")

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits)
        self.logits = self.params

    @classmethod
    def of(cls, **natural: Any) -> Self:
        """From `probs` [*batch, N, K]. Raises ValueError if they are not probabilities that sum to 1."""
        return cls(*unconstrained(cls.__name__, {"probs": SIMPLEX}, natural))

    @property
    def spec(self) -> LatentSpec:
        return LatentSpec.categorical(*self.logits.shape[-2:])

    @property
    def probs(self) -> Tensor:
        return softmax(self.logits)

    def tempered_probs(self, tau: float) -> Tensor:
        return softmax(self.logits / tau)

    def log_prob(self, z: Tensor) -> Tensor:
        return (z * finite(log_softmax(self.logits))).sum((-2, -1))

    def score(self, z: Tensor) -> Tensor:
        """z - π."""
        return z.detach() - softmax(self.logits.detach())

    def configurations(self, start: int, stop: int) -> Tensor:
        sites, classes = self.logits.shape[-2:]
        device = self.logits.device
        place = classes ** torch.arange(sites, device=device)
        digits = torch.arange(start, stop, device=device).unsqueeze(-1) // place % classes
        z = (digits.unsqueeze(-1) == torch.arange(classes, device=device)).to(self.logits.dtype)
        z = z.view(stop - start, *[1] * (self.logits.dim() - 2), sites, classes)
        return z.expand(stop - start, *self.logits.shape)

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        """argmax(φ + G): normalising φ would shift all classes of a site alike, which leaves the argmax as it is."""
        return self.harden(self.logits.detach() + self.noise(n, generator))

    def sample_many(self, n: int, generator: Generator | None) -> Tensor:
        """By inverting the cdf: one uniform number for a site, where `sample` takes one for each class."""
        return self.icdf(uniform((n, *self.site_shape), self.logits, generator))

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Gumbel noise -log(-log u)."""
        return gumbel((n, *self.logits.shape), self.logits, generator)

    def perturb(self, noise: Tensor) -> Tensor:
        """log π + G: with normalised log-probabilities its distribution given the argmax is that of `condition`."""
        return log_softmax(self.logits) + noise

    def harden(self, perturbed: Tensor) -> Tensor:
        perturbed = perturbed.detach()
        if perturbed.shape[-1] == 2:  # argmax and scatter take seven times as long
            first = perturbed[..., :1] >= perturbed[..., 1:]
            return torch.cat((first, ~first), -1).to(perturbed.dtype)
        return torch.zeros_like(perturbed).scatter_(-1, perturbed.argmax(-1, keepdim=True), 1.0)

    def relax(self, perturbed: Tensor, tau: float | Tensor) -> Tensor:
        return softmax(perturbed / tau)

    def condition(self, z: Tensor, n: int, generator: Generator | None) -> Tensor:
        """Gumbels given their argmax (REBAR, Tucker et al. 2017, appendix): with E_i ~ Exp(1) and b the chosen class,
        z̃_b = -log E_b and z̃_i = -log(E_i / π_i + E_b), in log space.
        """
        log_e = log_exponential((n, *self.logits.shape), self.logits, generator)
        # Not left to broadcasting, which over few classes is computed one number at a time, up to ten times as slowly.
        log_e_chosen = (log_e * z).sum(-1, keepdim=True).expand_as(log_e).contiguous()
        other = -torch.logaddexp(log_e - log_softmax(self.logits), log_e_chosen)
        return torch.where(z > 0.5, -log_e_chosen, other)

    @property
    def site_shape(self) -> torch.Size:
        return self.logits.shape[:-1]

    @property
    def log_class_probs(self) -> Tensor:
        return log_softmax(self.logits.detach())

    def classes(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    def from_classes(self, classes: Tensor) -> Tensor:
        one_hot = torch.eye(self.logits.shape[-1], dtype=self.logits.dtype, device=classes.device)
        return embedding(classes, one_hot)  # twice as fast as a comparison with every class

    @staticmethod
    def class_logits(logits: Tensor) -> Tensor:
        return logits

    @staticmethod
    def class_weights(z: Tensor) -> Tensor:
        return z

    @staticmethod
    def coordinates(of_classes: Tensor) -> Tensor:
        return of_classes

    @staticmethod
    def softmax_jacobian(p: Tensor, v: Tensor) -> Tensor:
        return p * (v - (p * v).sum(-1, keepdim=True))

    @staticmethod
    def second_moment(p: Tensor, z: Tensor, v: Tensor) -> Tensor:
        """p_c (v_c - v_z) for the classes c that are not drawn, and minus their sum for the one that is."""
        others = p * (v - (z * v).sum(-1, keepdim=True))
        return others - z * others.sum(-1, keepdim=True)

    def midpoint(self, z: Tensor) -> Self:
        log_pi = self.logits.detach().log_softmax(-1)
        return type(self)(torch.where(z > 0.5, torch.log1p(log_pi.exp()), log_pi))

    def gapped(self, z: Tensor, gap: float) -> Tensor:
        """max φ for the class drawn, min(φ_c, max φ - gap) for the others."""
        logits = self.logits.detach()
        top = logits.amax(-1, keepdim=True)
        return torch.where(z > 0.5, top, torch.minimum(logits, top - gap))

    def kl_to_prior(self) -> Tensor:
        """KL(q || uniform) = Σ π log π + N log K, [*batch]."""
        sites, classes = self.logits.shape[-2:]
        log_pi = finite(log_softmax(self.logits))
        return (log_pi.exp() * log_pi).sum((-2, -1)) + sites * math.log(classes)
