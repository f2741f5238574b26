"""Local expectation on subsets: every item summed out in turn, given one draw of the others for each of its values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator, Unsupported
from ..latents import LatentSpec, Objective, Subset

MOST_ITEMS = 256
"""n + 1 masks of n items for each data point."""


class ConditionalExpectation(Estimator):
    """With the marginals μ, z ~ q, and for every item i a draw y^i of q given that y_i = 1 - z_i,

    g_i = μ_i (1 - μ_i) (f(z^{i1}) - f(z^{i0})),

    where z^{i1} and z^{i0} are those of z and y^i with and without item i.

    ∂E f/∂φ_i = Cov(z_i, f) = μ_i (1 - μ_i) (E[f | z_i = 1] - E[f | z_i = 0]). For independent bits one draw of the
    others serves both values, and this is `local-expectation`; the items of a subset depend on each other, so that they
    are drawn given each. The value is the mean over i of μ_i f(z^{i1}) + (1 - μ_i) f(z^{i0}).
    """

    formula = (
        r"g_i = \mu_i (1 - \mu_i)\, (f(z^{i1}) - f(z^{i0})),\quad z^{ic} \sim q(\cdot \mid z_i = c),\ \mu_i = "
        r"q(z_i = 1)"
    )
    name = "conditional-expectation"
    latents = ("subset",)
    cost = "D + 1 evaluations"
    reference = (
        "Titsias & Lázaro-Gredilla 2015, Local expectation gradients for black box variational inference, with the "
        "conditional distributions of a subset"
    )

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if spec.event_shape[0] > MOST_ITEMS:
            raise Unsupported(f"{self.name} draws a mask for each item, and {spec} has more than {MOST_ITEMS} of them")

    def sample(self, latent: Subset, generator: Generator | None) -> Tensor:
        """z and every y^i, [1 + n, *batch, n]."""
        z = latent.sample(1, generator)
        items = z.shape[-1]
        own = torch.eye(items, dtype=torch.bool, device=z.device).view(items, *[1] * (z.dim() - 2), items)
        return torch.cat([z, latent.given(1 - z, own).sample(1, generator)[0]])

    def gradient(self, f: Objective, latent: Subset, draw: Tensor) -> Estimate:
        f_draw, z, p = f(draw), draw[0], latent.probs.detach()
        f_z, f_y = f_draw[0].unsqueeze(-1), f_draw[1:].movedim(0, -1)
        own = torch.where(z > 0.5, p, 1 - p)
        grad = p * (1 - p) * (2 * z - 1) * (f_z - f_y).detach()
        return Estimate((own * f_z + (1 - own) * f_y).mean(-1), grad)
