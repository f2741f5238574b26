"""What every quantiser is beside an estimator: a map from encodings to the codes that stand for them at test time."""

from __future__ import annotations

from abc import ABC

from torch import Tensor

from ..contract import Claim, Estimator
from ..latents import Encodings


class Quantiser(Estimator, ABC):
    """Abstract. Unless a method says otherwise it draws nothing, and takes the nearest code of the model's codebook."""

    def claim(self) -> Claim:
        return Claim(target="other-law", unbiased=False, random=False)

    @property
    def codes(self) -> int:
        """How many codes a site can take."""
        return self.spec.codes

    def quantise(self, latent: Encodings) -> Tensor:
        """What the decoder gets of trained encodings, [*batch, N, D]."""
        return latent.look_up(latent.nearest())
