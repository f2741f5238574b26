"""What VAEs of pixels share: networks, likelihood, an RBM if it is the prior, and the weight of the KL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ...estimators.latents import Latent, LatentSpec, Objective, latent_at
from .boltzmann import Boltzmann
from .latent_model import LatentModel
from .likelihood import make_likelihood
from .many_draws import many_draws

CHAINS, FINAL_CHAINS = 128, 1024
"""Chains of annealed importance sampling at an evaluation, and at the last one."""


class Autoencoder(LatentModel):
    """Abstract: q with parameters encoder(x), and pixels with parameters decoder(z).

    kl: "analytic" keeps the KL outside f as far as possible, "sampled" puts it inside. likelihood, variance: as in
    likelihood.py; "l2" gives no bound on log p(x). kl_warmup: the weight of the KL in the loss grows linearly to 1 over
    as many steps. data_mean [784]: demean subtracts it from x before the encoder, output_bias starts the decoder's bias
    there. boltzmann: makes an RBM, the prior.
    """

    decoder: nn.Sequential
    shift: Tensor | None
    steps: Tensor | None

    def __init__(
        self,
        spec: LatentSpec,
        networks: tuple[nn.Sequential, nn.Sequential],
        data_mean: Tensor,
        kl: str = "analytic",
        likelihood: str = "bernoulli",
        demean: bool = False,
        output_bias: bool = True,
        boltzmann: Callable[[], Boltzmann] | None = None,
        kl_warmup: int = 0,
        variance: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec, self.kl, self.kl_warmup = spec, kl, kl_warmup
        self.likelihood = make_likelihood(likelihood, len(data_mean), variance)
        self.encoder, self.decoder = networks
        self.register_buffer("shift", data_mean.clone() if demean else None)
        self.register_buffer("steps", torch.zeros(()) if kl_warmup else None)
        if output_bias:
            output = networks[1][-1]
            assert isinstance(output, nn.Linear)
            self.likelihood.start(output.bias, data_mean)
        # Made after the networks, so that these start as those with another prior.
        self.boltzmann = None if boltzmann is None else boltzmann()
        self.negative_phase = self.boltzmann is not None and self.boltzmann.chains is not None

    def shifted(self, x: Tensor) -> Tensor:
        """The encoder's input."""
        return x if self.shift is None else x - self.shift

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.shifted(x)).unflatten(-1, self.spec.param_shape)

    def latent(self, params: Tensor) -> Latent:
        return latent_at(self.spec, params)

    def outputs(self, z: Tensor) -> Tensor:
        """The parameters of x given z, such as its logits: z [*, *event] -> [*, 784]."""
        return self.decoder(z.flatten(-len(self.spec.event_shape)))

    def pixel_means(self, z: Tensor) -> Tensor:
        """E x given z, z [*, *event] -> [*, 784]."""
        return self.likelihood.means(self.outputs(z))

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x given z), or the squared distance, [n, *replicates, batch].

        x [batch, 784], z [n, *replicates, batch, *event].
        """
        return self.likelihood.error(self.outputs(z), x)

    def log_likelihood(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """hard z -> log p(x given z), for bounds of many draws; shapes as above."""
        return many_draws(self.decoder, self.likelihood, self.spec, x)

    @abstractmethod
    def posterior_means(self, x: Tensor, draws: int, generator: Generator | None) -> list[Tensor]:
        """E z given x of each layer, [batch, *event]; after the first, averaged over draws of those before."""

    @abstractmethod
    def sample_posterior(self, x: Tensor, n: int, generator: Generator | None) -> tuple[Any, Tensor]:
        """q(z given x), and n draws of the z that the decoder sees, [n, batch, *event]."""

    @abstractmethod
    def sample_prior(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of the z that the decoder sees from p(z), [n, *event]."""

    @abstractmethod
    def divergence(self, q: Any, z: Tensor, generator: Generator | None = None) -> Tensor:
        """KL(q || p), [batch], or an unbiased estimate: q and z [1, batch, *event] are those of `sample_posterior`."""

    @abstractmethod
    def log_weight(self, x: Tensor, latent: Latent, generator: Generator | None = None) -> Objective:
        """hard z of the first layer -> log p(x, z) - log q(z given x), [n, batch]; by one draw of the others."""

    def weighted(self, kl: Tensor) -> Tensor:
        """A part of the KL times its weight, min(1, steps / kl_warmup)."""
        return kl if self.steps is None else kl * (self.steps / self.kl_warmup).clamp_max(1)

    def prior_parameters(self) -> list[nn.Parameter]:
        """All parameters of a trained prior."""
        return [] if self.boltzmann is None else list(self.boltzmann.parameters())

    def advance(self, generator: Generator | None) -> None:
        if self.steps is not None:
            self.steps += 1
        if self.boltzmann is not None:
            self.boltzmann.advance(generator)

    def measure_prior(self, final: bool, generator: Generator | None) -> dict[str, Tensor]:
        if self.boltzmann is None:
            return {}
        return self.boltzmann.measure(FINAL_CHAINS if final else CHAINS, generator)
