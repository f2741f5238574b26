"""The interface of a model to the training loop: encoder and decoder, its latent, and the loss in two parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Latent, LatentSpec, Objective


class LatentModel(nn.Module, ABC):
    """Abstract. Its loss [*replicates, batch] is E_q f(z) + regulariser, in nats.

    spec, encoder: those of the first stochastic layer, where the logits gradient is taken; other layers are inside f.
    decoder: the network from z on, or a list of them, one for each layer.
    """

    spec: LatentSpec
    encoder: nn.Module
    decoder: nn.Module

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        """The latents, in the order in which they are drawn."""
        return (self.spec,)

    def models(self) -> list[LatentModel]:
        """This model and those inside it: one per stochastic layer."""
        return [module for module in self.modules() if isinstance(module, LatentModel)]

    def inference_parameters(self) -> list[nn.Parameter]:
        """The parameters of q, in every layer."""
        return list(self.encoder.parameters())

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """x [batch, 784] -> params [batch, *param_shape]."""

    @abstractmethod
    def latent(self, params: Tensor) -> Latent:
        """q(z given x) with these parameters."""

    @abstractmethod
    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        """f: z [n, *replicates, batch, *event] -> [n, *replicates, batch], averaged over each layer after the first by
        its `lower`; -log p(x, z) for a bound."""

    @abstractmethod
    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """The analytic part of the loss, [*replicates, batch]; None if there is none."""
