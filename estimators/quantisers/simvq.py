"""Vector quantisation with a codebook that moves as a whole."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..contract import Estimate, Unsupported
from ..latents import Encodings, LatentSpec, Objective
from .quantiser import Quantiser
from .vq_st import VqSt


class SimVq(Quantiser):
    """`vq-st` with codes c_k = b_k W, b random and frozen, W learned: ||sg(e) - c||² moves every code at once."""

    formula = (
        r"\ell = f(c) + \|\mathrm{sg}(e) - c\|^2 + \beta\, \|e - \mathrm{sg}(c)\|^2,\quad c_k = b_k W,\ "
        r"\partial c / \partial e := 1"
    )
    name = "simvq"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {"beta": {"default": 0.25, "min": 0.0, "about": "weight of the commitment loss"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Zhu et al. 2024, Addressing representation collapse in vector quantized models with one linear layer"

    beta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if spec.family != "linear-codebook":
            raise Unsupported(f"{self.name} needs a linear codebook: give the task codebook=linear-codebook")
        self.quantiser = VqSt(spec, beta=self.beta)

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        return self.quantiser.sample(latent, generator)

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        return self.quantiser.gradient(f, latent, draw)
