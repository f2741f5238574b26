"""Vector quantisation with the straight-through gradient: the VQ-VAE."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Estimate
from ..latents import Encodings, Objective
from .parts import codebook_and_commitment, passed_on
from .quantiser import Quantiser


class VqSt(Quantiser):
    """f(c) + ||sg(e) - c||² + β ||e - sg(c)||², c the code nearest to e, and ∂c/∂e := 1 in f (section 2.4, (**)).

    Norms are per encoding, summed over the sites. Nothing is drawn: this is not the gradient of an expectation.
    """

    formula = (
        r"\ell = f(c) + \|\mathrm{sg}(e) - c\|^2 + \beta\, \|e - \mathrm{sg}(c)\|^2,\quad \partial c / "
        r"\partial e := 1"
    )
    name = "vq-st"
    aliases = ("vq-vae",)
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {"beta": {"default": 0.25, "min": 0.0, "about": "weight of the commitment loss"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "van den Oord, Vinyals & Kavukcuoglu 2017, Neural discrete representation learning, eq. 3"

    beta: float

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        return latent.nearest()

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        e, code = latent.params, latent.look_up(draw)
        return Estimate(passed_on(f, code, e) + codebook_and_commitment(e, code, self.beta))
