"""A VAE: encoder, decoder, prior, and a loss in two parts: f, which estimators see, and an analytic one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Discrete, Gaussian, Latent, LatentSpec, Objective
from ...estimators.names import Unsupported
from .architectures import Architecture
from .autoencoder import Autoencoder
from .boltzmann import Boltzmann


class Vae(Autoencoder):
    """q(z given x) with parameters encoder(x), prior p(z), and pixels with parameters decoder(z).

    kl: "analytic" keeps KL(q || p) outside f; "sampled" puts log q(z) - log p(z) inside f, with φ detached there, since
    E ∇ log q(z) = 0; "l2" replaces it by Σ μ² + (σ - 1)² of a Gaussian, which gives no bound. trained_prior: p has
    logits of its own, which start at 0; else it is the prior of the latent's kind, uniform or standard normal, or an
    RBM, whose log Z is in f for a bound alone. The other options are those of every `Autoencoder`.

    With several stochastic layers, all of bits, p(z) is itself a VAE with data z: `deeper`. So q(z₁, z₂ given x) =
    q(z₁ given x) q(z₂ given z₁) and p(x, z₁, z₂) = p(z₂) p(z₁ given z₂) p(x given z₁), and f holds the loss of the
    deeper VAE in place of -log p(z). Of the KL, -H(q) of each layer and the KL of the last can be analytic.
    """

    deeper: Vae | None

    def __init__(
        self,
        architecture: Architecture,
        data_mean: Tensor,
        kl: str = "analytic",
        likelihood: str = "bernoulli",
        trained_prior: bool = False,
        demean: bool = False,
        output_bias: bool = True,
        boltzmann: Callable[[], Boltzmann] | None = None,
        kl_warmup: int = 0,
        variance: float = 0.0,
    ) -> None:
        spec, *others = architecture.layers
        size, hidden, activation = len(data_mean), architecture.hidden, architecture.activation
        networks = (
            mlp(size, *hidden, math.prod(spec.param_shape), activation=activation),
            mlp(math.prod(spec.event_shape), *reversed(hidden), size, activation=activation),
        )
        super().__init__(spec, networks, data_mean, kl, likelihood, demean, output_bias, boltzmann, kl_warmup, variance)
        self.prior = nn.Parameter(torch.zeros(spec.param_shape)) if trained_prior and not others else None
        self.deeper = None
        if others:
            half = torch.full(spec.event_shape, 0.5)
            rest = replace(architecture, layers=tuple(others))
            self.deeper = Vae(rest, half, kl, trained_prior=trained_prior, output_bias=False)

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        return (self.spec, *(() if self.deeper is None else self.deeper.layers))

    @property
    def trained_prior(self) -> nn.Parameter | None:
        """The logits of the last layer's prior, if it is trained."""
        return self.prior if self.deeper is None else self.deeper.trained_prior

    def prior_parameters(self) -> list[nn.Parameter]:
        logits = self.trained_prior
        return super().prior_parameters() if logits is None else [logits]

    def inference_parameters(self) -> list[nn.Parameter]:
        own = super().inference_parameters()
        return own if self.deeper is None else own + self.deeper.inference_parameters()

    def posterior_means(self, x: Tensor, draws: int, generator: Generator | None) -> list[Tensor]:
        latent = self.latent(self.encode(x))
        if self.deeper is None:
            return [latent.mean]
        deeper = self.deeper.posterior_means(latent.sample(draws, generator), 1, generator)
        return [latent.mean, *(mean.mean(0) for mean in deeper)]

    def sample_prior(self, n: int, generator: Generator | None) -> Tensor:
        if self.deeper is not None:
            return self.deeper.dream(n, generator)[0]
        if self.boltzmann is not None:
            return self.boltzmann.sample(n, generator)
        uniform = next(self.parameters()).new_zeros(self.spec.param_shape)
        return self.latent(uniform if self.prior is None else self.prior).sample(n, generator)

    @torch.no_grad()
    def dream(self, n: int, generator: Generator | None) -> tuple[Tensor, list[Tensor]]:
        if self.deeper is not None:
            first, others = self.deeper.dream(n, generator)
            z = [first, *others]
        else:
            z = [(self.boltzmann.dream if self.boltzmann is not None else self.sample_prior)(n, generator)]
        return self.likelihood.sample(self.outputs(z[0]), generator), z

    def prior_log_prob(self, latent: Latent, z: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(z) of z [n, *replicates, batch, *event], hard or relaxed, [n, *replicates, batch]; with several layers,
        the logarithm of an unbiased estimate of p(z) by one draw."""
        if self.deeper is not None:
            q, drawn = self.deeper.sample_posterior(z, 1, generator)
            density = self.deeper.likelihood.log_density(self.deeper.outputs(drawn), z)
            return (density + self.deeper.log_ratio(q, drawn, generator))[0]
        if self.boltzmann is not None:
            return self.boltzmann.neg_energy(z) - self.boltzmann.log_z()
        return latent.prior_log_prob(z) if self.prior is None else self.latent(self.prior).log_prob(z)

    def kl_to_prior(self, latent: Latent) -> Tensor:
        """KL(q || p), [*replicates, batch], or -H(q) if p is a VAE; log q and log p at the mean of z, since they are
        linear in each site."""
        if self.deeper is not None:
            return neg_entropy(latent)
        if self.prior is None and self.boltzmann is None:
            return latent.kl_to_prior()
        assert isinstance(latent, Discrete)
        mean = latent.probs
        return latent.log_prob(mean) - self.prior_log_prob(latent, mean)

    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        """f(z) = -log p(x given z), plus log q(z) - log p(z) if the KL is sampled; with several layers the loss of the
        deeper VAE takes the place of -log p(z) in any case. For a bound it is -log p(x, z).

        Raises Unsupported for a bound while its KL should have a weight."""
        if bound:
            if self.kl_warmup:
                raise Unsupported("kl_warmup weighs the KL, which a multi-sample bound does not have; leave it out")
            return lambda z: self.reconstruction(x, z) - self.prior_log_prob(latent, z)
        if self.kl != "sampled" and self.deeper is None:
            return lambda z: self.reconstruction(x, z)
        fixed = self.latent(latent.params.detach())

        def f(z: Tensor) -> Tensor:
            loss = self.reconstruction(x, z)
            if self.kl == "sampled":
                loss = loss + self.weighted(fixed.log_prob(z))
            if self.deeper is not None:
                return loss + self.weighted(self.deeper.loss(z, lower))
            known = self.prior_log_prob(fixed, z) if self.boltzmann is None else self.boltzmann.neg_energy(z)
            return loss - self.weighted(known)

        return f

    def loss(self, x: Tensor, layers: Sequence[Lower]) -> Tensor:
        """Minus the ELBO of x [*, batch, 784], averaged over each layer by one of `layers`, [*, batch]."""
        average, *lower = layers
        latent = self.latent(self.encode(x))
        value, regulariser = average(self.objective(x, latent, lower=lower), latent), self.regulariser(latent)
        return value if regulariser is None else value + regulariser

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """KL(q || p) or its replacement, [*replicates, batch]; None if f holds all of it, or log Z of an RBM."""
        if bound:
            return None
        if self.kl == "sampled":
            return None if self.boltzmann is None else self.weighted(self.boltzmann.log_z()).expand(latent.batch_shape)
        if self.kl == "l2":
            assert isinstance(latent, Gaussian)
            return self.weighted(latent.l2_to_prior())
        return self.weighted(self.kl_to_prior(latent))

    def divergence(self, latent: Latent, z: Tensor, generator: Generator | None = None) -> Tensor:
        """KL(q || p), [batch]: at the draws z [1, batch, *event] if it is sampled, else analytic; with several layers,
        by one draw of each of the others."""
        own = latent.log_prob(z)[0] if self.kl == "sampled" else self.kl_to_prior(latent)
        if self.deeper is not None:
            q, drawn = self.deeper.sample_posterior(z[0], 1, generator)
            return own + self.deeper.reconstruction(z[0], drawn)[0] + self.deeper.divergence(q, drawn, generator)
        return own - self.prior_log_prob(latent, z)[0] if self.kl == "sampled" else own

    def sample_posterior(self, x: Tensor, n: int, generator: Generator | None) -> tuple[Latent, Tensor]:
        latent = self.latent(self.encode(x))
        return latent, latent.sample(n, generator)

    def log_ratio(self, latent: Latent, z: Tensor, generator: Generator | None) -> Tensor:
        """log p(z) - log q(z given x), shapes as `prior_log_prob`."""
        return self.prior_log_prob(latent, z, generator) - latent.log_prob(z)

    def log_weight(self, x: Tensor, latent: Latent, generator: Generator | None = None) -> Objective:
        log_likelihood = self.log_likelihood(x)
        return lambda z: log_likelihood(z) + self.log_ratio(latent, z, generator)


def neg_entropy(latent: Latent) -> Tensor:
    """-H(q) of a discrete latent, [*batch]."""
    return latent.kl_to_prior() - math.log(latent.spec.configurations)


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers of these widths with an activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])
