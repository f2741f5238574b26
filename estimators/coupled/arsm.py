"""ARSM: every swap of one Dirichlet noise, merged over the reference classes."""

from __future__ import annotations

from typing import Any

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..validation import check_room
from .swaps import AllSwaps, centred, numbers, swap_all, table


class Arsm(Estimator):
    """With π' uniform on the simplex at every site and F_mj = f(z^{m⇄j}), the mean of ARS over its reference class:

    g_m = Σ_j (F_mj - mean_c F_cj) (1/K - π'_j), where z = argmin_c π'_c / π_c and m⇄j swaps two entries of every
    site's π'. F_mj = F_jm; all K (K - 1) / 2 + 1 different swaps are evaluated, even if they give the same z.
    """

    formula = (
        r"g_m = \sum_j \Big(F_{mj} - \operatorname*{mean}_c F_{cj}\Big)(\tfrac1K - \pi'_j),\quad F_{mj} = "
        r"f(z^{m \rightleftarrows j})"
    )
    name = "arsm"
    aliases = ("augment-reinforce-swap-merge",)
    latents = ("categorical",)
    cost = "K * (K - 1) / 2 + 1 evaluations"
    reference = "Yin, Yue & Zhou 2019, ARSM: Augment-REINFORCE-Swap-Merge Estimator"

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        check_room(self.name, spec, numbers(spec), "ars-plus, of K evaluations")

    def sample(self, latent: Discrete, generator: Generator | None) -> AllSwaps:
        return swap_all(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: AllSwaps) -> Estimate:
        f_z, classes = f(draw.z), draw.noise.shape[-1]
        f_mj = f_z[table(classes, f_z.device)]
        weight = 1 / classes - (-draw.noise).softmax(-1)
        return Estimate(f_z.mean(0), weight @ centred(f_mj).movedim((0, 1), (-1, -2)))
