"""Latents of independent sites, each of which takes one of K classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Self

import torch
from torch import Generator, Tensor

from .latent import Enumerable


class Discrete(Enumerable):
    """D bits, or D one-hot sites of K classes; a bit is a site of the classes 0 and 1, with logits (0, φ).

    `log_prob` is linear in z and also defined for relaxed z. `probs`, `perturb` and `condition` are differentiable in
    the parameters; the noise is not.
    """

    @property
    @abstractmethod
    def probs(self) -> Tensor:
        """The probability of each 1, [*batch, *event]."""

    @property
    def mean(self) -> Tensor:
        return self.probs

    @abstractmethod
    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Parameter-free noise for `perturb` (logistic or Gumbel), [n, *batch, *event]."""

    @abstractmethod
    def perturb(self, noise: Tensor) -> Tensor:
        """The perturbed logits whose `harden` is a draw of z."""

    @abstractmethod
    def harden(self, perturbed: Tensor) -> Tensor:
        """The discrete z of perturbed logits; no gradient."""

    @abstractmethod
    def relax(self, perturbed: Tensor, tau: float | Tensor) -> Tensor:
        """The relaxed z of perturbed logits at temperature tau."""

    @abstractmethod
    def condition(self, z: Tensor, n: int, generator: Generator | None) -> Tensor:
        """Draw n perturbed logits given that `harden` maps them to z; differentiable in params."""

    @abstractmethod
    def tempered_probs(self, tau: float) -> Tensor:
        """`probs` with the logits divided by tau."""

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        with torch.no_grad():
            return self.harden(self.perturb(self.noise(n, generator)))

    @property
    def greedy(self) -> Tensor:
        """The most likely z, [1, *batch, *event]."""
        return self.harden(self.params).unsqueeze(0)

    def blocks(self, size: int) -> Iterator[Tensor]:
        """`support` in blocks of at most `size` configurations."""
        total = self.spec.configurations
        for start in range(0, total, size):
            yield self.configurations(start, min(start + size, total))

    # Site by site, in terms of classes.

    @property
    @abstractmethod
    def site_shape(self) -> torch.Size:
        """[*batch, D]."""

    @property
    @abstractmethod
    def log_class_probs(self) -> Tensor:
        """log π of every class of every site, detached, [*batch, D, K]."""

    @abstractmethod
    def classes(self, z: Tensor) -> Tensor:
        """The class of every site of z, [n, *batch, D]."""

    @abstractmethod
    def from_classes(self, classes: Tensor) -> Tensor:
        """The z [n, *batch, *event] of these classes [n, *batch, D]."""

    @staticmethod
    @abstractmethod
    def class_logits(logits: Tensor) -> Tensor:
        """The logits of every class, [*, D, K], from logits shaped as z: (0, φ) for a bit."""

    @staticmethod
    @abstractmethod
    def class_weights(z: Tensor) -> Tensor:
        """The weight of every class, [*, D, K], in z, hard or relaxed: (1 - z, z) for a bit."""

    @staticmethod
    @abstractmethod
    def coordinates(of_classes: Tensor) -> Tensor:
        """Weights or a logits gradient per class, [*, D, K], in the coordinates of z and params, [*, *event]: the entry
        of class 1 for a bit.
        """

    def icdf(self, u: Tensor) -> Tensor:
        """z [n, *batch, *event] by inverting the cdf of every site at u [n, *batch, D]: the class c with
        Σ_{i<c} π_i <= u < Σ_{i<=c} π_i.
        """
        cdf = self.log_class_probs.exp().cumsum(-1)
        return self.from_classes((u.unsqueeze(-1) >= cdf[..., :-1]).sum(-1))

    # The backward passes of straight-through estimators.

    @staticmethod
    @abstractmethod
    def softmax_jacobian(p: Tensor, v: Tensor) -> Tensor:
        """(diag(p) - p pᵀ) v at each site, the derivative of the softmax where it is p; p (1 - p) v for a bit."""

    @staticmethod
    @abstractmethod
    def second_moment(p: Tensor, z: Tensor, v: Tensor) -> Tensor:
        """E (z' - z)(z' - z)ᵀ v at each site, z' of probabilities p: (diag(p) - p pᵀ + (z - p)(z - p)ᵀ) v."""

    @abstractmethod
    def midpoint(self, z: Tensor) -> Self:
        """The latent with probabilities ½ (π + z), halfway to the draw z [*batch, *event]; no gradient."""

    @abstractmethod
    def gapped(self, z: Tensor, gap: float) -> Tensor:
        """Logits that favour z by a gap: the drawn class has the largest logit, all others are at least `gap` below;
        detached.
        """
