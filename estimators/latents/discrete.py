"""Latents of independent sites, each of which takes one of K classes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Generator, Tensor

from .exponential_family import ExponentialFamily


class Discrete(ExponentialFamily):
    """D bits, or D one-hot sites of K classes; a bit is a site of the classes 0 and 1, with logits (0, φ).

    The hardened z of perturbed logits is a draw of q. `condition` is differentiable in the parameters.
    """

    @abstractmethod
    def condition(self, z: Tensor, n: int, generator: Generator | None) -> Tensor:
        """Draw n perturbed logits given that `harden` maps them to z; differentiable in params."""

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        with torch.no_grad():
            return self.harden(self.perturb(self.noise(n, generator)))

    # Site by site, in terms of classes.

    @property
    @abstractmethod
    def site_shape(self) -> torch.Size:
        """[*batch, D]."""

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
        # Divided by its end, which rounding moves from 1: a last class without probability would be drawn.
        return self.from_classes((u.unsqueeze(-1) >= cdf[..., :-1] / cdf[..., -1:]).sum(-1))

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
