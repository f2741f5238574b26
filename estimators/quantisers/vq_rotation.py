"""Vector quantisation with the rotation trick."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from ..contract import Estimate
from ..latents import Encodings, Objective
from .parts import codebook_and_commitment, passed_on
from .quantiser import Quantiser


def rotated(e: Tensor, code: Tensor) -> Tensor:
    """λ R e, equal to the code, with λ and R constants: R turns u = e/||e|| into ĉ = c/||c|| in the plane of both,

    R e = e - 2 (e·w) w + 2 (e·u) ĉ,  w = (u + ĉ) / ||u + ĉ||,  λ = ||c|| / ||e||.

    An encoding that is zero next to its code has no direction: its λ R is 1, where λ would be infinite.
    """
    point, c = e.detach(), code.detach()
    length, wanted = point.norm(dim=-1, keepdim=True), c.norm(dim=-1, keepdim=True)
    zero = length <= torch.finfo(e.dtype).eps * wanted
    u, towards = normalize(point, dim=-1), normalize(c, dim=-1)
    w = normalize(u + towards, dim=-1)
    turned = e - 2 * (e * w).sum(-1, keepdim=True) * w + 2 * (e * u).sum(-1, keepdim=True) * towards
    return torch.where(zero, e, wanted / length.masked_fill(zero, 1) * turned)


class VqRotation(Quantiser):
    """f(c) + ||sg(e) - c||² + β ||e - sg(c)||², c the code nearest to e, and ∂c/∂e := λ R in f (`rotated`).

    A gradient makes the same angle with the encoding as it did with the code. At a zero encoding ∂c/∂e := 1.
    """

    formula = (
        r"\ell = f(c) + \|\mathrm{sg}(e) - c\|^2 + \beta\, \|e - \mathrm{sg}(c)\|^2,\quad \partial c / "
        r"\partial e := \lambda R"
    )
    name = "vq-rotation"
    aliases = ("rotation-trick",)
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {"beta": {"default": 0.25, "min": 0.0, "about": "weight of the commitment loss"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Fifty et al. 2024, Restructuring vector quantization with the rotation trick, section 4"

    beta: float

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        return latent.nearest()

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        e, code = latent.params, latent.look_up(draw)
        return Estimate(passed_on(f, code, rotated(e, code)) + codebook_and_commitment(e, code, self.beta))
