"""The interface of a model to the training loop: encoder and decoder, its latent, and the loss in two parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Generator, Tensor, nn

from ...estimators.contract import Lower, Unsupported
from ...estimators.latents import Latent, LatentSpec, Objective


class LatentModel(nn.Module, ABC):
    """Abstract. Its loss [*replicates, batch] is E_q f(z) + regulariser, in nats.

    spec, encoder: those of the first stochastic layer, where the logits gradient is taken; other layers are inside f.
    takes_stand_in: whether `objective` takes the estimator's `stand_in`, for a part of f that is linear in z.
    smoothed: whether z are bits smoothed by the estimator, which `objective` takes; there is no E_q f(z) of bits then.
    negative_phase: whether `advance` samples from the model itself, which the clock shows as a phase of the step.
    decoder: the network from z on, or a list of them, one for each layer.
    """

    spec: LatentSpec
    encoder: nn.Module
    decoder: nn.Module
    takes_stand_in: bool = False
    smoothed: bool = False
    negative_phase: bool = False

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        """The latents, in the order in which they are drawn."""
        return (self.spec,)

    def models(self) -> list[LatentModel]:
        """This model and those inside it: one per stochastic layer."""
        return [module for module in self.modules() if isinstance(module, LatentModel)]

    def networks(self) -> list[nn.Module]:
        """Encoder and decoder, and any other network of this stochastic layer."""
        return [self.encoder, self.decoder]

    def inference_parameters(self) -> list[nn.Parameter]:
        """The parameters of q, in every layer."""
        return list(self.encoder.parameters())

    def generative_parameters(self) -> list[nn.Parameter]:
        """All others: those of p, in every layer."""
        inference = set(map(id, self.inference_parameters()))
        return [parameter for parameter in self.parameters() if id(parameter) not in inference]

    def dream(self, n: int, generator: Generator | None) -> tuple[Tensor, list[Tensor]]:
        """n draws from the model, without gradients: x [n, 784], and the z of each layer, the first one first, each
        [n, *event]. Raises Unsupported for a model without a distribution of x and z."""
        raise Unsupported(f"{type(self).__name__} has no distribution of x and z to draw from")

    def sleep_loss(self, n: int, generator: Generator | None) -> Tensor:
        """-log q(z given x) at n dreams, [n], whose mean gradient is that of E_p(x) KL(p(z given x) || q). It reaches q
        alone, and its target is none of E_q f: it is of another distribution than q, `other-law` as claims call it."""
        x, z = self.dream(n, generator)
        layers = zip(self.models(), [x, *z], z, strict=False)
        log_q = [layer.latent(layer.encode(given)).log_prob(drawn.unsqueeze(0))[0] for layer, given, drawn in layers]
        return -sum(log_q[1:], log_q[0])

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

    def advance(self, generator: Generator | None) -> None:
        """Called once per training step, before the objective: counts the step, moves chains on. Nothing by default."""

    def measure_prior(self, final: bool, generator: Generator | None) -> dict[str, Tensor]:
        """Called at an evaluation, before the metrics of images: what those need of the prior is computed anew; its own
        metrics, each []. Nothing by default. final: whether the training ends here."""
        return {}
