"""ARSM+: ARSM without the terms whose swaps agree."""

from __future__ import annotations

from typing import Any

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..validation import check_room
from .swaps import AllSwaps, centred, numbers, swap_all, table


class ArsmPlus(Estimator):
    """ARSM with F_mj = f(z^{m⇄j}), and at each site only the reference classes j whose swaps do not all agree there:

    g_m = Σ_j 1[z^{m⇄j} differs at the site for some m] (F_mj - mean_c F_cj) (1/K - π'_j).

    Where they agree, F_mj differs only by the other sites, whose distribution does not depend on m: the term is zero in
    expectation. With one site it is zero anyway, and this is ARSM.
    """

    formula = (
        r"g_m = \sum_j 1\big[z^{m' \rightleftarrows j} \text{ differs for some } m'\big] \Big(F_{mj} - "
        r"\operatorname*{mean}_c F_{cj}\Big)(\tfrac1K - \pi'_j),\quad F_{mj} = f(z^{m \rightleftarrows j})"
    )
    name = "arsm-plus"
    aliases = ("arsm+",)
    latents = ("categorical",)
    cost = "K * (K - 1) / 2 + 1 evaluations"
    reference = "Dong, Mnih & Tucker 2021, Coupled Gradient Estimators for Discrete Latent Variables (ARSM+)"

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        check_room(self.name, spec, numbers(spec), "ars-plus, of K evaluations")

    def sample(self, latent: Discrete, generator: Generator | None) -> AllSwaps:
        return swap_all(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: AllSwaps) -> Estimate:
        f_z, place = f(draw.z), table(draw.noise.shape[-1], draw.noise.device)
        chosen = draw.z.argmax(-1)[place]
        agree = (chosen == chosen[0]).all(0).movedim(0, -1)
        weight = (1 / len(place) - (-draw.noise).softmax(-1)).masked_fill(agree, 0.0)
        return Estimate(f_z.mean(0), weight @ centred(f_z[place]).movedim((0, 1), (-1, -2)))
