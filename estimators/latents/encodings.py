"""Encodings to be quantised, and the distribution over codes that makes their choice random."""

from __future__ import annotations

import functools

import torch
from torch import Generator, Tensor
from torch.nn.functional import embedding

from ..names import UsageError
from .categorical import Categorical
from .codebook import CODEBOOKS, Codebook, LinearCodebook, distances, nearest
from .latent import Enumerable, widened
from .spec import LatentSpec


class Encodings(Enumerable):
    """N independent sites with one code vector each, with params = encodings e [*batch, N, D] and a codebook c [M, D].

    q_T(code k at site i) = softmax_k(-||e_i - c_k||² / T), z_i = c_k, z [*batch, N, D]: stochastic vector quantisation,
    whose limit T → 0 is deterministic quantisation, `nearest`. The codebook is the model's: gradients reach it too.
    """

    axes = ("sites", "width")

    def __init__(self, params: Tensor, codebook: Codebook | LinearCodebook, temperature: float = 1.0) -> None:
        """Raises UsageError if encodings and codes differ in width, or the temperature is not above 0."""
        super().__init__(params)
        self.codebook, self.temperature, self.vectors = codebook, temperature, widened(codebook.vectors)
        width = self.vectors.shape[1]
        if params.dim() < 2 or params.shape[-1] != width:
            raise UsageError(
                f"encodings of shape {list(params.shape)} do not fit codes {width} wide; give [*batch, sites, {width}]"
            )
        if not temperature > 0:
            raise UsageError(f"the temperature must be above 0, got {temperature}")

    @classmethod
    def from_spec(cls, spec: LatentSpec, params: Tensor) -> Encodings:
        """With a random codebook."""
        return cls(params, CODEBOOKS[spec.family].random(spec.codes, spec.event_shape[-1], widened(params.detach())))

    @property
    def spec(self) -> LatentSpec:
        sites, width = self.params.shape[-2:]
        return LatentSpec.encodings(sites, width, len(self.vectors), self.codebook.family)

    def _at(self, params: Tensor) -> Encodings:
        return Encodings(params, self.codebook, self.temperature)

    @property
    def tensors(self) -> list[Tensor]:
        return [self.params, *self.codebook.parameters()]

    @functools.cached_property
    def distribution(self) -> Categorical:
        """The distribution over codes, as one-hot sites [*batch, N, M] with logits -||e - c_k||² / T, but for a term
        that all codes share.
        """
        dtype = torch.promote_types(self.params.dtype, self.vectors.dtype)
        return Categorical((distances(self.params, self.vectors) / -self.temperature).to(dtype))

    def mix(self, weights: Tensor) -> Tensor:
        """Σ_k w_k c_k: weights [*, N, M], one-hot or relaxed -> z [*, N, D]."""
        return weights @ self.vectors

    def nearest(self) -> Tensor:
        """The nearest code of every site, [*batch, N]."""
        return nearest(self.params, self.vectors)

    def look_up(self, codes: Tensor) -> Tensor:
        """The vectors of codes [*], [*, D]; differentiable in the codebook."""
        return embedding(codes, self.vectors)

    @property
    def mean(self) -> Tensor:
        """Σ_k q_T(k) c_k, [*batch, N, D]."""
        return self.mix(self.distribution.probs)

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        return self.mix(self.distribution.sample(n, generator)).detach()

    def log_prob(self, z: Tensor) -> Tensor:
        """Σ_i log q_T(the code nearest to z_i): z holds code vectors."""
        chosen = nearest(z, self.vectors).unsqueeze(-1)
        return self.distribution.logits.log_softmax(-1).expand(*chosen.shape[:-1], -1).gather(-1, chosen).sum((-2, -1))

    def score(self, z: Tensor) -> Tensor:
        """2 (z - Σ_k π_k c_k) / T."""
        return 2 * (z - self.mean).detach() / self.temperature

    def configurations(self, start: int, stop: int) -> Tensor:
        return self.mix(self.distribution.configurations(start, stop))

    def kl_to_prior(self) -> Tensor:
        """KL(q_T || uniform codes), [*batch]; N log M in the deterministic limit."""
        return self.distribution.kl_to_prior()
