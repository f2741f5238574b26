"""ZGR: the zero-temperature limit of Gumbel-Rao."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .surrogates import pulled_back


class Zgr(Estimator):
    """Forward z ~ q; backward half straight-through and half DARN, with J = ∂f/∂z:

    g = ½ [(diag(π) - ππᵀ) J + (z - π)(z - π)ᵀ J].

    That is g_c = ½ π_c (J_c - J_z) for the classes c not drawn and minus their sum for the drawn one; ½ |b - p| J for a
    bit, as in `darn`. Exact for f quadratic in each site; the same as `reinmax` at tau=1.
    """

    formula = (
        r"g = \tfrac12 \big[(\operatorname{diag}(\pi) - \pi \pi^\top) J + (z - \pi)(z - \pi)^\top "
        r"J\big],\quad J = \partial f / \partial z"
    )
    name = "zgr"
    latents = ("bernoulli", "categorical")
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Shekhovtsov 2023, Cold analysis of Rao-Blackwellized straight-through Gumbel-softmax gradient estimator"
    )

    def claim(self) -> Claim:
        return Claim(unbiased=False, exact_for="f quadratic in each site")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        pi = latent.probs.detach()
        z = pulled_back(draw, latent.params, lambda j, pi, z: 0.5 * latent.second_moment(pi, z, j), pi, draw)
        return Estimate(f(z).mean(0))
