"""Vector quantisation with a codebook moved by averages instead of gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Unsupported
from ..latents import Codebook, Encodings, LatentSpec, Objective
from .parts import distance, passed_on
from .quantiser import Quantiser


class Chosen(NamedTuple):
    """The encodings, their codes [*batch, N], and the encodings [M, D] that may replace dead codes, or None."""

    latent: Encodings
    codes: Tensor
    spare: Tensor | None


class VqEma(Quantiser):
    """f(c) + β ||e - sg(c)||², c the code nearest to e, and ∂c/∂e := 1 in f; no gradient reaches the codebook.

    In train(), if gradients are enabled, `update` moves the codes to the Laplace-smoothed moving averages of the
    encodings that chose them: `Codebook.move` (section 2.4). dead > 0: codes with a count below it are then replaced by
    encodings of the batch, chosen at random. An encoding that is not finite moves and replaces no code.
    """

    formula = r"\ell = f(c) + \beta\, \|e - \mathrm{sg}(c)\|^2,\quad \partial c / \partial e := 1"
    name = "vq-ema"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {
        "beta": {"default": 0.25, "min": 0.0, "about": "weight of the commitment loss"},
        "decay": {
            "default": 0.99,
            "min": 0.0,
            "below": 1.0,
            "about": "decay of the moving averages, per training step",
        },
        "eps": {"default": 1e-5, "above": 0.0, "about": "Laplace smoothing of the counts"},
        "dead": {"default": 0.0, "min": 0.0, "about": "count below which a code is replaced; 0 replaces none"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "van den Oord, Vinyals & Kavukcuoglu 2017, appendix A.1; ε as in Sonnet"

    beta: float
    decay: float
    eps: float
    dead: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if spec.family:
            raise Unsupported(f"{self.name} moves codes, which a {spec.family} computes: give the task codebook=free")

    def sample(self, latent: Encodings, generator: Generator | None) -> Chosen:
        replacing = self.dead and self.training and latent.params.numel()
        return Chosen(latent, latent.nearest(), self._spare(latent, generator) if replacing else None)

    def gradient(self, f: Objective, latent: Encodings, draw: Chosen) -> Estimate:
        e, code = latent.params, latent.look_up(draw.codes).detach()
        return Estimate(passed_on(f, code, e) + self.beta * distance(e, code))

    def update(self, draw: Chosen, estimate: Estimate) -> None:
        if torch.is_grad_enabled():
            codebook = draw.latent.codebook
            assert isinstance(codebook, Codebook)
            codebook.move(draw.latent.params.flatten(0, -2), draw.codes.flatten(), self.decay, self.eps)
            if draw.spare is not None:
                codebook.revive(draw.spare, self.dead)

    def _spare(self, latent: Encodings, generator: Generator | None) -> Tensor:
        points = latent.params.detach().flatten(0, -2)
        chosen = torch.randint(len(points), (self.spec.codes,), generator=generator, device=points.device)
        return points[chosen]
