"""The distribution of the exponential of a Gaussian."""

from __future__ import annotations

from torch import Generator, Tensor

from ..natural import POSITIVE, REAL
from .continuous import FixedNoise, Sites, positive
from .location_scale import Gaussian


class LogNormal(Sites, FixedNoise):
    """log z ~ N(loc, scale²); params (loc, log scale) of log z. log q(z) = log N(log z) - log z."""

    family = "log-normal"
    natural = {"loc": REAL, "scale": POSITIVE}

    @property
    def logarithm(self) -> Gaussian:
        """The distribution of log z."""
        return Gaussian(self.params)

    @property
    def mean(self) -> Tensor:
        return (self.logarithm.loc + 0.5 * self.logarithm.variance).exp()

    @property
    def variance(self) -> Tensor:
        return self.logarithm.variance.expm1() * self.mean.square()

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        return self.logarithm.noise(n, generator)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        return self.logarithm.noise_log_prob(noise)

    def transform(self, noise: Tensor) -> Tensor:
        return positive(self.logarithm.transform(noise))

    def site_log_prob(self, z: Tensor) -> Tensor:
        return self.logarithm.site_log_prob(z.log()) - z.log()

    def score(self, z: Tensor) -> Tensor:
        return self.logarithm.score(z.detach().log())
