"""CARMS: several coupled draws, each pair weighted as if it were independent."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, LatentSpec, Objective
from ..validation import check_room
from .couplings import COUPLINGS, ends, pairs


class CoupledDraws(NamedTuple):
    """z [n, *batch, N, K] and the ratio of each pair at each site [n (n - 1) / 2, *batch, N]."""

    z: Tensor
    ratio: Tensor


class Carms(Estimator):
    """n exchangeable draws of q, jointly antithetic, each pair weighted site by site:

    g = 1/(n (n-1)) Σ_{i<j} r_ij (f(z_i) - f(z_j)) (z_i - z_j),  r_ij = π(z_i) π(z_j) / P(z_i, z_j).

    coupling: "inverse-cdf" (CARMS-I) and "stick-breaking" of Dirichlet-copula uniforms, with P in closed form (see
    couplings.py), or "independent", which is RLOO. With n = 2 "stick-breaking" is DisARM-IW; for two classes both are
    ARMS. The ratio is neither smoothed nor clipped. CARMS-G, which estimates P by sampling, is biased and left out.
    """

    formula = (
        r"g = \frac{1}{n(n-1)} \sum_{i<j} r_{ij}\, (f(z_i) - f(z_j))(z_i - z_j),\quad r_{ij} = "
        r"\frac{\pi(z_i)\, \pi(z_j)}{P(z_i, z_j)}"
    )
    name = "carms"
    latents = ("categorical",)
    hyperparameters = {
        "n": {"default": 4, "min": 2, "about": "coupled draws of z"},
        "coupling": {
            "default": "inverse-cdf",
            "choices": ("inverse-cdf", "stick-breaking", "independent"),
            "about": "how the draws of a site are coupled",
        },
    }
    cost = "n evaluations"
    reference = "Dimitriev & Zhou 2021, CARMS: Categorical-Antithetic-REINFORCE Multi-Sample Gradient Estimator"

    n: int
    coupling: str

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if self.coupling == "inverse-cdf":
            check_room(self.name, spec, ends(spec), "coupling=stick-breaking")

    def sample(self, latent: Discrete, generator: Generator | None) -> CoupledDraws:
        return CoupledDraws(*COUPLINGS[self.coupling](latent, self.n, generator))

    def gradient(self, f: Objective, latent: Discrete, draw: CoupledDraws) -> Estimate:
        f_z = f(draw.z)
        i, j = pairs(self.n, f_z.device)
        apart = draw.z[i] - draw.z[j]
        weight = draw.ratio * expand_right((f_z[i] - f_z[j]).detach(), draw.ratio)
        # Where z_i = z_j the ratio has no meaning and may be infinite.
        terms = (weight.unsqueeze(-1) * apart).where(apart != 0, 0.0)
        return Estimate(f_z.mean(0), terms.sum(0) / (self.n * (self.n - 1)))
