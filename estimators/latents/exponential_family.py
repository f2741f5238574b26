"""Exponential families over finitely many z of zeros and ones: independent sites, or subsets of fixed size."""

from __future__ import annotations

from abc import abstractmethod

from torch import Generator, Tensor

from .latent import Enumerable


class ExponentialFamily(Enumerable):
    """q(z) ∝ exp(φ · z): `log_prob` is linear in z and also defined for relaxed z; its mode is the MAP of φ.

    `probs` and `perturb` are differentiable in the parameters; the noise is not.
    """

    @property
    @abstractmethod
    def probs(self) -> Tensor:
        """The probability of each 1, [*batch, *event]."""

    @property
    def mean(self) -> Tensor:
        return self.probs

    @abstractmethod
    def tempered_probs(self, tau: float) -> Tensor:
        """`probs` with the logits divided by tau."""

    # Perturb and MAP.

    @abstractmethod
    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Parameter-free noise for `perturb` (logistic or Gumbel), [n, *batch, *event]."""

    @abstractmethod
    def perturb(self, noise: Tensor) -> Tensor:
        """The perturbed logits, to be hardened or relaxed."""

    @abstractmethod
    def harden(self, perturbed: Tensor) -> Tensor:
        """The z of the largest sum of perturbed logits (MAP); no gradient."""

    @property
    def greedy(self) -> Tensor:
        """The most likely z, [1, *batch, *event]."""
        return self.harden(self.params).unsqueeze(0)

    @abstractmethod
    def relax(self, perturbed: Tensor, tau: float | Tensor) -> Tensor:
        """The relaxed z of perturbed logits at temperature tau."""

    # z as a choice of one class at each of its independent sites; a subset is a single site, its classes the masks.

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
