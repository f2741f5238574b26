"""Structured prediction: the lower half of an image from its upper half, through layers of latents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Latent, LatentSpec, Objective, latent_at
from .latent_model import LatentModel
from .likelihood import make_likelihood


class StructuredPrediction(LatentModel):
    """p(y given x) = E p(y given z_L), for the upper half x of an image, its first `upper` pixels, and the rest, y.

    z₁ is drawn given x, each z_k given the one before, and y given the last: Bernoulli pixels. Each of these networks
    is linear: `encoder` from x to the parameters of z₁, `decoder[k]` from z_k on. There is no posterior, so that the
    loss E -log p(y given z_L) has neither KL nor regulariser; it is at least -log p(y given x).
    data_mean [pixels]: output_bias starts the last bias at the logit of its lower half. signs: all networks are given
    2x - 1 and 2z - 1 in place of x and z.
    """

    decoder: nn.ModuleList

    def __init__(
        self,
        layers: Sequence[LatentSpec],
        data_mean: Tensor,
        upper: int,
        signs: bool = False,
        output_bias: bool = True,
    ) -> None:
        super().__init__()
        self.specs, self.upper, self.signs = tuple(layers), upper, signs
        self.spec = self.specs[0]
        read = [upper, *(math.prod(spec.event_shape) for spec in layers)]
        given = [*(math.prod(spec.param_shape) for spec in layers), len(data_mean) - upper]
        self.encoder, *rest = (nn.Linear(*sizes) for sizes in zip(read, given, strict=True))
        self.decoder = nn.ModuleList(rest)
        self.likelihood = make_likelihood("bernoulli", given[-1])
        if output_bias:
            self.likelihood.start(rest[-1].bias, data_mean[upper:])

    @property
    def layers(self) -> tuple[LatentSpec, ...]:
        return self.specs

    def inference_parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.decoder[:-1].parameters()]

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self._signed(x[..., : self.upper])).unflatten(-1, self.spec.param_shape)

    def latent(self, params: Tensor) -> Latent:
        return latent_at(self.spec, params)

    def following(self, z: Tensor, layer: int) -> Latent:
        """The latent that is drawn after z [*, *event] of a layer, counted from 0."""
        spec = self.specs[layer + 1]
        return latent_at(spec, self._outputs(z, layer).unflatten(-1, spec.param_shape))

    def pixel_means(self, z: Tensor) -> Tensor:
        """E y given z of the last layer, [*, *event] -> [*, lower pixels]."""
        return self.likelihood.means(self._outputs(z, -1))

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(y given z): images x [batch, pixels], z of the last layer [*, batch, *event] -> [*, batch]."""
        return self.likelihood.error(self._outputs(z, -1), x[..., self.upper :])

    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        """f(z₁) = -log p(y given z_L), averaged over each layer after the first by its `lower`. There is no f for a
        bound, since bounds are of one layer."""
        assert not bound, "Layered refuses bounds of several layers"

        def f(z: Tensor, layer: int = 0) -> Tensor:
            if layer == len(lower):
                return self.reconstruction(x, z)
            return lower[layer](lambda below: f(below, layer + 1), self.following(z, layer))

        return f

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        return None

    def last(self, z: Tensor, generator: Generator | None) -> Tensor:
        """z of the last layer, by one draw of each layer after z of the first, [*, *event]."""
        for layer in range(len(self.specs) - 1):
            z = self.following(z, layer).sample(1, generator)[0]
        return z

    def log_weight(self, x: Tensor, latent: Latent, generator: Generator | None = None) -> Objective:
        """z [n, batch, *event] -> log p(y given z_L) by one draw of the layers after z, [n, batch]: the average of its
        exponential is an unbiased estimate of p(y given x)."""
        y = x[..., self.upper :]
        return lambda z: self.likelihood.log_density(self._outputs(self.last(z, generator), -1), y)

    @torch.no_grad()
    def completed(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Images x [batch, pixels] with E y given one draw of every layer in place of the lower half."""
        z = self.latent(self.encode(x)).sample(1, generator)[0]
        return torch.cat([x[..., : self.upper], self.pixel_means(self.last(z, generator))], -1)

    def _outputs(self, z: Tensor, layer: int) -> Tensor:
        return self.decoder[layer](self._signed(z.flatten(-len(self.specs[layer].event_shape))))

    def _signed(self, values: Tensor) -> Tensor:
        return 2 * values - 1 if self.signs else values
