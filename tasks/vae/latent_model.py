"""What the training loop needs of a model: encoder and decoder, its latent, and the loss in two parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Latent, LatentSpec, Objective


class LatentModel(nn.Module, ABC):
    """Abstract. Its loss [*rows, batch] is E_q f(z) + regulariser, in nats.

    spec, encoder: of the first stochastic layer, which is the cut; the others are inside f.
    """

    spec: LatentSpec
    encoder: nn.Module
    decoder: nn.Module

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        """The latents, in the order in which they are drawn."""
        return (self.spec,)

    def models(self) -> list[LatentModel]:
        """This one and those inside it: one a stochastic layer."""
        return [module for module in self.modules() if isinstance(module, LatentModel)]

    def inference_parameters(self) -> list[nn.Parameter]:
        """Of q, in every layer."""
        return list(self.encoder.parameters())

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """x [batch, 784] -> params [batch, *param_shape]."""

    @abstractmethod
    def latent(self, params: Tensor) -> Latent:
        """q(z given x) with these parameters."""

    @abstractmethod
    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        """f: z [n, *rows, batch, *event] -> [n, *rows, batch], each layer after the first averaged by its `lower`;
        -log p(x, z) for a bound."""

    @abstractmethod
    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """The analytic part of the loss, [*rows, batch]; None when there is none."""
