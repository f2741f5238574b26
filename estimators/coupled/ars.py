"""ARS: one Dirichlet noise, its swaps with a reference class."""

from __future__ import annotations

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from .swaps import ReferenceSwaps, centred, swap_with_reference


class Ars(Estimator):
    """With π' uniform on the simplex at every site, F_m = f(z^{m⇄j}) and a reference class j drawn per replicate,

    g_m = (F_m - mean_c F_c) (1 - K π'_j), where z = argmin_c π'_c / π_c and m⇄j swaps two entries of every site's π'.
    """

    formula = (
        r"g_m = \Big(F_m - \operatorname*{mean}_c F_c\Big)(1 - K \pi'_j),\quad F_m = f(z^{m \rightleftarrows "
        r"j}),\ z = \operatorname*{argmin}_c \pi'_c / \pi_c"
    )
    name = "ars"
    aliases = ("augment-reinforce-swap",)
    latents = ("categorical",)
    cost = "K evaluations"
    reference = "Yin, Yue & Zhou 2019, ARSM: Augment-REINFORCE-Swap-Merge Estimator (ARS)"

    def sample(self, latent: Discrete, generator: Generator | None) -> ReferenceSwaps:
        return swap_with_reference(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: ReferenceSwaps) -> Estimate:
        f_z = f(draw.z)
        dirichlet = (-draw.noise).softmax(-1)
        reference = dirichlet.gather(-1, draw.ref.expand(*dirichlet.shape[:-1], 1))
        grad = centred(f_z).movedim(0, -1).unsqueeze(-2) * (1 - len(f_z) * reference)
        return Estimate(f_z.mean(0), grad)
