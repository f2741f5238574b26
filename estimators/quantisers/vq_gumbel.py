"""Vector quantisation through relaxed codes."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..contract import Claim, Estimate
from ..latents import Encodings, LatentSpec, Objective
from ..relaxations.gumbel_softmax import GumbelSoftmax
from .quantiser import Quantiser


class VqGumbel(Quantiser):
    """∇ f(Σ_k w_k c_k), w = softmax((log q_T + G) / τ), q_T = softmax(-||e - c||² / T): Gumbel-softmax of the
    distribution over codes, differentiated in encodings and codebook. Unbiased for the relaxed objective, biased for
    E f(z).
    """

    formula = (
        r"g = \nabla f\Big(\sum_k w_k c_k\Big),\quad w = \operatorname{softmax}((\log q_T + G) / \tau),\ q_T "
        r"= \operatorname{softmax}(-\|e - c\|^2 / T)"
    )
    name = "vq-gumbel"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {"tau": {"default": 0.5, "above": 0.0, "about": "temperature of the relaxation"}}
    cost = "1 evaluation, 1 differentiation"
    reference = "Sønderby, Poole & Mnih 2017, Continuous relaxation training of discrete latent-variable image models"

    tau: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.relaxed = GumbelSoftmax(LatentSpec.categorical(spec.event_shape[0], spec.codes), tau=self.tau)

    def claim(self) -> Claim:
        return Claim(target="own-relaxed")

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        return self.relaxed.sample(latent.distribution, generator)

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        return self.relaxed.gradient(lambda weights: f(latent.mix(weights)), latent.distribution, draw)
