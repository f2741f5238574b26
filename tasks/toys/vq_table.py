"""Stochastic vector quantisation small enough to enumerate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...estimators.latents import CODEBOOKS, Encodings, Latent, LatentSpec, Objective
from ...estimators.latents.codebook import Codebook
from ..contract import Lower, Toy

SITES, WIDTH, CODES, HIDDEN = 2, 2, 4, 6


class VqTable(Toy):
    """f(z) = 3 tanh(z W + b) · v, z the code vectors of 2 sites, 2 wide, out of 4 codes: z_i = c_k with probability
    softmax_k(-||e_i - c_k||² / temperature).

    The gradients in the encodings, the codebook and the decoder are exact: all 4² choices are enumerated. The smaller
    the temperature, the nearer to deterministic quantisation. codebook: `free` vectors, or the `linear-codebook` of
    SimVQ.
    """

    name = "vq-table"
    layer = "encodings 2x2"
    hyperparameters = {
        "temperature": {"default": 1.0, "choices": (0.1, 1.0), "about": "temperature of the choice of codes"},
        "codebook": {
            "default": "free",
            "choices": ("free", "linear-codebook"),
            "about": "free code vectors, or a learned linear map of random ones",
        },
    }

    temperature: float
    codebook: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        book = CODEBOOKS[self.codebook] if self.codebook != "free" else Codebook
        self.book = book(0.6 * self.random(CODES, WIDTH, seed=2))
        self.layers = (LatentSpec.encodings(SITES, WIDTH, CODES, book.family),)
        self.encodings = (0.4 * self.random(SITES, WIDTH, seed=1)).requires_grad_()
        self.weight = self.random(SITES * WIDTH, HIDDEN, seed=3).requires_grad_()
        self.bias = self.random(HIDDEN, seed=4).requires_grad_()
        self.output = self.random(HIDDEN, seed=5).requires_grad_()

    def params(self) -> Tensor:
        return self.encodings

    def latent(self, params: Tensor) -> Latent:
        return Encodings(params, self.book, self.temperature)

    def groups(self) -> dict[str, list[Tensor]]:
        return {"codebook": list(self.book.parameters()), "decoder": [self.weight, self.bias, self.output]}

    def objective(self, latent: Latent, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: 3 * (z.flatten(-2) @ self.weight + self.bias).tanh() @ self.output
