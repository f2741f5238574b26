"""A VAE of smoothed bits under the smoothed distribution of an RBM, as in DVAE#."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...estimators.contract import Estimator, Lower
from ...estimators.latents import Latent, Objective
from ...estimators.names import Unsupported
from ...estimators.smoothing.dvaes_gaussian import DvaesGaussian
from ...estimators.smoothing.overlapping import Overlapping
from .boltzmann import Boltzmann
from .gaussian_integral import log_gaussian_integral
from .mean_field import mean_field_marginal
from .model import Vae

NEEDED = {"mean-field": Overlapping, "gaussian-integral": DvaesGaussian}
"""The densities p(ζ), and the estimators that smooth bits as each needs it."""


class SmoothedVae(Vae):
    """q(ζ given x) = Π_i Σ_z q(z_i given x) r(ζ_i given z_i), r the estimator's, and p(ζ) = Σ_z p(z) r(ζ given z):

        f(ζ) = -log p(x given ζ) + log q(ζ given x) - (log p(ζ) + log Z),

    and log Z is analytic. φ is detached in log q, since E ∇_φ log q(ζ) = 0. density: "mean-field" takes the same r in
    p(ζ) and the bound of `mean_field_marginal`, which makes the loss too high; "gaussian-integral" takes
    r = N(z, M⁻¹) there, exactly, with λ the inverse variance β of the estimator's own. Evaluations are of bits.
    Vahdat, Andriyash & Macready 2018, DVAE#.
    """

    boltzmann: Boltzmann
    smoothed = True

    def __init__(self, *args: Any, density: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.density = density

    def objective(
        self,
        x: Tensor,
        latent: Latent,
        bound: bool = False,
        lower: Sequence[Lower] = (),
        smoothing: Estimator | None = None,
    ) -> Objective:
        """As above. Raises Unsupported for an estimator without the smoothing that p(ζ) needs, and UsageError, where f
        is called, for a λ that W has outgrown."""
        needed = NEEDED[self.density]
        if not isinstance(smoothing, needed):
            names = "dvaes-gaussian" if needed is DvaesGaussian else "an overlapping smoothing (dvaepp-* or dvaes-*)"
            raise Unsupported(f"kl={self.density} is of smoothed bits: it needs {names}, and {smoothing!r} is none")
        fixed = latent.params.detach()

        def f(zeta: Tensor) -> Tensor:
            off, on = log_r = smoothing.log_r(zeta)
            log_q = torch.logaddexp(logsigmoid(-fixed) + off, logsigmoid(fixed) + on).sum(-1)
            return self.reconstruction(x, zeta) + self.weighted(log_q - self._log_prior(zeta, log_r, smoothing))

        return f

    def _log_prior(self, zeta: Tensor, log_r: Tensor, smoothing: Overlapping) -> Tensor:
        """log p(ζ) + log Z, or its bound."""
        bias, weight = self.boltzmann.bias, self.boltzmann.weight
        if isinstance(smoothing, DvaesGaussian) and self.density == "gaussian-integral":
            return log_gaussian_integral(zeta, bias, weight, smoothing.beta)
        return mean_field_marginal(log_r, bias, weight)

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        return self.weighted(self.boltzmann.log_z()).expand(latent.batch_shape)
