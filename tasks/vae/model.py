"""A VAE with one stochastic layer: encoder, decoder, and a loss of what estimators see and what is analytic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...estimators.latents import Discrete, Gaussian, Latent, Objective, latent_at
from .architectures import Architecture
from .latent_model import LatentModel
from .likelihood import reconstruction

PIXELS = 784


class Vae(LatentModel):
    """q(z given x) with parameters encoder(x), prior p(z), and Bernoulli pixels with logits decoder(z).

    kl: "analytic" keeps KL(q || p) outside f; "sampled" puts log q(z) - log p(z) inside f, with φ detached there, since
    E ∇ log q(z) = 0; "l2" has a Gaussian's Σ μ² + (σ - 1)² in its place, which is no bound. likelihood: "bernoulli", or
    "l2", the squared distance of the decoder's probabilities to x, no bound on log p(x) either. trained_prior: p has
    logits of its own, which start at 0, else it is the kind's own, uniform or standard normal.
    data_mean [784]: demean takes it off x before the encoder, output_bias starts the decoder's bias at its logit.
    """

    shift: Tensor | None

    def __init__(
        self,
        architecture: Architecture,
        data_mean: Tensor,
        kl: str = "analytic",
        likelihood: str = "bernoulli",
        trained_prior: bool = False,
        demean: bool = False,
        output_bias: bool = True,
    ) -> None:
        super().__init__()
        (self.spec,), hidden, activation = architecture.layers, architecture.hidden, architecture.activation
        self.kl, self.likelihood = kl, likelihood
        self.encoder = mlp(PIXELS, *hidden, math.prod(self.spec.param_shape), activation=activation)
        self.decoder = mlp(math.prod(self.spec.event_shape), *reversed(hidden), PIXELS, activation=activation)
        self.prior = nn.Parameter(torch.zeros(self.spec.param_shape)) if trained_prior else None
        self.register_buffer("shift", data_mean.clone() if demean else None)
        if output_bias:
            output = self.decoder[-1]
            assert isinstance(output, nn.Linear)
            with torch.no_grad():
                output.bias.copy_(torch.logit(data_mean.clamp(1e-3, 1 - 1e-3)))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x if self.shift is None else x - self.shift).unflatten(-1, self.spec.param_shape)

    def latent(self, params: Tensor) -> Latent:
        return latent_at(self.spec, params)

    def prior_latent(self) -> Latent:
        """p(z), without a batch."""
        uniform = torch.zeros(self.spec.param_shape, device=next(self.parameters()).device)
        return self.latent(uniform if self.prior is None else self.prior)

    def prior_log_prob(self, latent: Latent, z: Tensor) -> Tensor:
        """log p(z) of z [n, *rows, batch, *event], hard or relaxed, [n, *rows, batch]."""
        return latent.prior_log_prob(z) if self.prior is None else self.latent(self.prior).log_prob(z)

    def kl_to_prior(self, latent: Latent) -> Tensor:
        """KL(q || p), [*rows, batch]; log q and log p are linear in z, so that they are taken at its mean."""
        if self.prior is None:
            return latent.kl_to_prior()
        assert isinstance(latent, Discrete)
        mean = latent.probs
        return latent.log_prob(mean) - self.prior_log_prob(latent, mean)

    def pixel_means(self, z: Tensor) -> Tensor:
        """E x given z, z [*, *event] -> [*, 784]."""
        return self.decoder(z.flatten(-len(self.spec.event_shape))).sigmoid()

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x given z), or the distance: x [batch, 784], z [n, *rows, batch, *event] -> [n, *rows, batch]."""
        return reconstruction(self.decoder(z.flatten(-len(self.spec.event_shape))), x, self.likelihood)

    def objective(self, x: Tensor, latent: Latent, bound: bool = False) -> Objective:
        """f(z) = -log p(x given z), plus log q(z) - log p(z) when the KL is sampled; -log p(x, z) for a bound."""
        if bound:
            return lambda z: self.reconstruction(x, z) - self.prior_log_prob(latent, z)
        if self.kl != "sampled":
            return lambda z: self.reconstruction(x, z)
        fixed = self.latent(latent.params.detach())
        return lambda z: self.reconstruction(x, z) + fixed.log_prob(z) - self.prior_log_prob(fixed, z)

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """KL(q || p) or its stand-in, [*rows, batch], where f has no log q inside it."""
        if bound or self.kl == "sampled":
            return None
        if self.kl == "l2":
            assert isinstance(latent, Gaussian)
            return latent.l2_to_prior()
        return self.kl_to_prior(latent)

    def divergence(self, latent: Latent, z: Tensor) -> Tensor:
        """KL(q || p), [batch]: at the draws z [1, batch, *event] where it is sampled, else analytic."""
        if self.kl == "sampled":
            return (latent.log_prob(z) - self.prior_log_prob(latent, z))[0]
        return self.kl_to_prior(latent)

    def log_weight(self, x: Tensor, z: Tensor, latent: Latent) -> Tensor:
        """log p(x, z) - log q(z given x) at hard z, [n, batch]."""
        return self.prior_log_prob(latent, z) - self.reconstruction(x, z) - latent.log_prob(z)


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers of these widths with an activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])
