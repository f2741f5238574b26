"""A VAE whose posterior has two groups of bits, the second drawn given the first: the posterior of DVAE and DVAE++."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Bernoulli, Latent, LatentSpec, Objective
from ...estimators.names import Unsupported
from .architectures import Architecture
from .autoencoder import Autoencoder
from .boltzmann import Boltzmann
from .model import mlp, neg_entropy

StandIn = Callable[[Latent, Tensor], Tensor]
"""As `Estimator.stand_in`."""


class TwoGroups(Autoencoder):
    """q(z₁ given x) q(z₂ given x, z₁), p(z₁, z₂) an RBM with these two sides, and pixels with logits decoder(z₁, z₂).

    With q₂ = q(z₂ given x, z₁) and its means μ₂, the first group's estimator sees

        f(z₁) = E_q₂[-log p(x given z₁, z₂)] - b · (z₁, μ₂) - z₁ᵀ W μ₂ - H(q₂),

    the mean over z₂ by the second group's estimator; -H(q₁) + log Z is analytic. A relaxed z₁ enters q₂ and the decoder
    as it is, and the energy too; with energy="exact", the estimator's `stand_in` for z₁ enters the energy: DVAE's
    left-right gradient, DVAE++'s cross-entropy. kl="sampled" puts log q₁ + log q₂ - log p(z₁, z₂) inside in place of
    the last three, without log Z; q is detached there, since E ∇ log q = 0.
    """

    boltzmann: Boltzmann

    def __init__(
        self,
        architecture: Architecture,
        left: int,
        data_mean: Tensor,
        boltzmann: Callable[[], Boltzmann],
        kl: str = "analytic",
        likelihood: str = "bernoulli",
        demean: bool = False,
        output_bias: bool = True,
        kl_warmup: int = 0,
        variance: float = 0.0,
        energy: str = "relaxed",
    ) -> None:
        (bits,) = architecture.layers[0].event_shape
        size, hidden, activation = len(data_mean), architecture.hidden, architecture.activation
        networks = (
            mlp(size, *hidden, left, activation=activation),
            mlp(bits, *reversed(hidden), size, activation=activation),
        )
        second = mlp(size + left, *hidden, bits - left, activation=activation)
        spec = LatentSpec.bernoulli(left)
        super().__init__(spec, networks, data_mean, kl, likelihood, demean, output_bias, boltzmann, kl_warmup, variance)
        self.second, self.takes_stand_in = second, energy == "exact"

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        return self.spec, LatentSpec.bernoulli(self.boltzmann.sizes[1])

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.second]

    def inference_parameters(self) -> list[nn.Parameter]:
        return [*super().inference_parameters(), *self.second.parameters()]

    def given(self, x: Tensor, z: Tensor) -> Bernoulli:
        """q(z₂ given x, z₁) at z₁ [n, *replicates, batch, left]; its batch is [n, *replicates, batch]."""
        shifted = self.shifted(x)
        return Bernoulli(self.second(torch.cat([shifted.expand(*z.shape[:-1], shifted.shape[-1]), z], -1)))

    def posterior_means(self, x: Tensor, draws: int, generator: Generator | None) -> list[Tensor]:
        latent = self.latent(self.encode(x))
        return [latent.mean, self.given(x, latent.sample(draws, generator)).mean.mean(0)]

    def sample_prior(self, n: int, generator: Generator | None) -> Tensor:
        return self.boltzmann.sample(n, generator)

    def objective(
        self,
        x: Tensor,
        latent: Latent,
        bound: bool = False,
        lower: Sequence[Lower] = (),
        stand_in: StandIn = lambda latent, z: z,
    ) -> Objective:
        """As above. Raises Unsupported for a bound, which is defined for one group."""
        if bound:
            raise Unsupported("a multi-sample bound is defined for one group of bits; leave out groups=2")
        (average,) = lower
        fixed = latent.at(latent.params.detach())

        def f(z: Tensor) -> Tensor:
            second = self.given(x, z)
            value = average(self._within(x, z, second), second)
            if self.kl == "sampled":
                return value + self.weighted(fixed.log_prob(z))
            return value + self.weighted(self._last_kl(stand_in(latent, z), second))

        return f

    def _within(self, x: Tensor, z: Tensor, second: Bernoulli) -> Objective:
        """f of the second group at z₁ [n, *batch, left]: z₂ [m, n, *batch, right] -> [m, n, *batch]."""
        fixed = second.at(second.params.detach())

        def f(below: Tensor) -> Tensor:
            both = torch.cat([z.expand(len(below), *z.shape), below], -1)
            loss = self.reconstruction(x, both)
            if self.kl == "sampled":
                loss = loss + self.weighted(fixed.log_prob(below) - self.boltzmann.neg_energy(both))
            return loss

        return f

    def _last_kl(self, z: Tensor, second: Bernoulli) -> Tensor:
        """E_q₂ log q₂ - log p(z₁, z₂) without log Z, by linearity at the means of z₂, [n, *batch]."""
        return neg_entropy(second) - self.boltzmann.neg_energy(torch.cat([z, second.mean], -1))

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        """-H(q₁) + log Z, or log Z alone if f holds log q, [*replicates, batch]."""
        log_z = self.boltzmann.log_z().expand(latent.batch_shape)
        return self.weighted(log_z if self.kl == "sampled" else neg_entropy(latent) + log_z)

    def sample_posterior(self, x: Tensor, n: int, generator: Generator | None) -> tuple[Any, Tensor]:
        latent = self.latent(self.encode(x))
        z = latent.sample(n, generator)
        second = self.given(x, z)
        return (latent, second), torch.cat([z, second.sample(1, generator)[0]], -1)

    def divergence(self, q: Any, z: Tensor, generator: Generator | None = None) -> Tensor:
        """log q - log p at the draw if the KL is sampled, else in closed form but for z₁."""
        latent, second = q
        one, two = z.split(self.boltzmann.sizes, -1)
        if self.kl == "sampled":
            sampled = latent.log_prob(one) + second.log_prob(two.unsqueeze(0))[0] - self.boltzmann.neg_energy(z)
            return sampled[0] + self.boltzmann.log_z()
        return neg_entropy(latent) + self._last_kl(one, second)[0] + self.boltzmann.log_z()

    def log_weight(self, x: Tensor, latent: Latent, generator: Generator | None = None) -> Objective:
        log_likelihood = self.log_likelihood(x)

        def log_w(z: Tensor) -> Tensor:
            second = self.given(x, z)
            below = second.sample(1, generator)
            both = torch.cat([z, below[0]], -1)
            log_p = self.boltzmann.neg_energy(both) - self.boltzmann.log_z() + log_likelihood(both)
            return log_p - latent.log_prob(z) - second.log_prob(below)[0]

        return log_w
