"""ARS+: ARS with its reference noise integrated out."""

from __future__ import annotations

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from .swaps import ReferenceSwaps, centred, integrated_reference, swap_with_reference


class ArsPlus(Estimator):
    """ARS, with F_m = f(z^{m⇄j}) and a reference class j drawn per replicate, Rao-Blackwellised twice at each site:

    g_m = (F_m - mean_c F_c) (1 - K E[π'_j given every z^{m⇄j} and the ratios of the other entries of π']),

    and zero where the K swaps agree at the site: there F_m differs only by the other sites, whose distribution
    does not depend on m. Its variance is never larger than that of ARS; for two classes it is DisARM. The integral has
    a closed form (swaps.py); the authors' code varies π'_j against one other entry instead of all in proportion.
    """

    formula = (
        r"g_m = \Big(F_m - \operatorname*{mean}_c F_c\Big)\Big(1 - K\, \mathbb{E}\big[\pi'_j \mid z^{1 "
        r"\rightleftarrows j}, \dots, z^{K \rightleftarrows j},\ (\pi'_c / \pi'_{c'})_{c, c' \ne "
        r"j}\big]\Big),\quad F_m = f(z^{m \rightleftarrows j})"
    )
    name = "ars-plus"
    aliases = ("ars+",)
    latents = ("categorical",)
    cost = "K evaluations"
    reference = "Dong, Mnih & Tucker 2021, Coupled Gradient Estimators for Discrete Latent Variables (ARS+)"

    def sample(self, latent: Discrete, generator: Generator | None) -> ReferenceSwaps:
        return swap_with_reference(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: ReferenceSwaps) -> Estimate:
        f_z = f(draw.z)
        agree = (draw.z == draw.z[:1]).all(0).all(-1, keepdim=True)
        weight = integrated_reference(latent, draw.noise, draw.ref).masked_fill(agree, 0.0)
        return Estimate(f_z.mean(0), centred(f_z).movedim(0, -1).unsqueeze(-2) * weight)
