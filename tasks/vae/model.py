"""A VAE with one stochastic layer: encoder, decoder, and a loss of what estimators see and what is analytic."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from ...estimators.latents import Gaussian, Latent, LatentSpec, Objective, latent_at
from .latent_model import LatentModel
from .likelihood import reconstruction

PIXELS = 784


class Vae(LatentModel):
    """q(z given x) with parameters encoder(x), its kind's own prior, and Bernoulli pixels with logits decoder(z).

    hidden: widths of the encoder's tanh layers, mirrored in the decoder; () makes both linear.
    kl: "analytic" keeps KL(q || p) outside f; "sampled" puts log q(z) - log p(z) inside f, with φ detached there, since
    E ∇ log q(z) = 0; "l2" has a Gaussian's Σ μ² + (σ - 1)² in its place, which is no bound. likelihood: "bernoulli", or
    "l2", the squared distance of the decoder's probabilities to x, no bound on log p(x) either. data_mean [784]: the
    output bias starts at its logit.
    """

    def __init__(
        self,
        spec: LatentSpec,
        hidden: tuple[int, ...],
        data_mean: Tensor,
        kl: str = "analytic",
        likelihood: str = "bernoulli",
    ) -> None:
        super().__init__()
        self.spec, self.kl, self.likelihood = spec, kl, likelihood
        self.encoder = mlp(PIXELS, *hidden, math.prod(spec.param_shape))
        self.decoder = mlp(math.prod(spec.event_shape), *reversed(hidden), PIXELS)
        output = self.decoder[-1]
        assert isinstance(output, nn.Linear)
        with torch.no_grad():
            output.bias.copy_(torch.logit(data_mean.clamp(1e-3, 1 - 1e-3)))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x).unflatten(-1, self.spec.param_shape)

    def latent(self, params: Tensor) -> Latent:
        return latent_at(self.spec, params)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x given z), or the distance: x [batch, 784], z [n, *rows, batch, *event] -> [n, *rows, batch]."""
        return reconstruction(self.decoder(z.flatten(-len(self.spec.event_shape))), x, self.likelihood)

    def objective(self, x: Tensor, latent: Latent, bound: bool = False) -> Objective:
        """f(z) = -log p(x given z), plus log q(z) - log p(z) when the KL is sampled; -log p(x, z) for a bound."""
        if bound:
            return lambda z: self.reconstruction(x, z) - latent.prior_log_prob(z)
        if self.kl != "sampled":
            return lambda z: self.reconstruction(x, z)
        fixed = self.latent(latent.params.detach())
        return lambda z: self.reconstruction(x, z) + fixed.log_prob(z) - fixed.prior_log_prob(z)

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """KL(q || p) or its stand-in, [*rows, batch], where f has no log q inside it."""
        if bound or self.kl == "sampled":
            return None
        if self.kl == "l2":
            assert isinstance(latent, Gaussian)
            return latent.l2_to_prior()
        return latent.kl_to_prior()

    def divergence(self, latent: Latent, z: Tensor) -> Tensor:
        """KL(q || p), [batch]: at the draws z [1, batch, *event] where it is sampled, else analytic."""
        if self.kl == "sampled":
            return latent.log_prob(z)[0] - latent.prior_log_prob(z)[0]
        return latent.kl_to_prior()

    def log_weight(self, x: Tensor, z: Tensor, latent: Latent) -> Tensor:
        """log p(x, z) - log q(z given x) at hard z, [n, batch]."""
        return latent.prior_log_prob(z) - self.reconstruction(x, z) - latent.log_prob(z)


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with tanh between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
