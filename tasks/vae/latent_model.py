"""What the training loop needs of a model: encoder and decoder, its latent, and the loss in two parts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ...estimators.latents import Latent, LatentSpec, Objective


class LatentModel(nn.Module, ABC):
    """Abstract. Its loss [*rows, batch] is E_q f(z) + regulariser, in nats."""

    spec: LatentSpec
    encoder: nn.Module
    decoder: nn.Module

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """x [batch, 784] -> params [batch, *param_shape]."""

    @abstractmethod
    def latent(self, params: Tensor) -> Latent:
        """q(z given x) with these parameters."""

    @abstractmethod
    def objective(self, x: Tensor, latent: Latent, bound: bool = False) -> Objective:
        """f: z [n, *rows, batch, *event] -> [n, *rows, batch]; -log p(x, z) for a bound."""

    @abstractmethod
    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """The analytic part of the loss, [*rows, batch]; None when there is none."""
