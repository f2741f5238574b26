"""The base of quantisers: estimators that also map encodings to the codes used at test time."""

from __future__ import annotations

from abc import ABC

from torch import Tensor

from ..contract import Claim, Estimator
from ..latents import Encodings


class Quantiser(Estimator, ABC):
    """Abstract. Unless overridden, it draws nothing and takes the nearest code of the model's codebook, the limit T → 0
    of a draw of q_T: a biased estimate of ∇ E f(z) for every T > 0.
    """

    def claim(self) -> Claim:
        return Claim(unbiased=False, random=False)

    @property
    def codes(self) -> int:
        """How many codes a site can take."""
        return self.spec.codes

    def quantise(self, latent: Encodings) -> Tensor:
        """The input of the decoder at test time, [*batch, N, D]."""
        return latent.look_up(latent.nearest())

    def indices(self, latent: Encodings) -> Tensor:
        """The numbers of these codes, [*batch, N], from 0 to codes - 1."""
        return latent.nearest()

    def vectors(self, indices: Tensor, latent: Encodings) -> Tensor:
        """The input of the decoder for codes of these numbers, [*, N] -> [*, N, D]."""
        return latent.look_up(indices)
