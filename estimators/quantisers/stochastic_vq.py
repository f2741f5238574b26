"""Stochastic vector quantisation, unbiased."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..contract import Claim, Estimate
from ..latents import Encodings, LatentSpec, Objective
from ..score_function.rloo import Rloo
from .quantiser import Quantiser


class StochasticVq(Quantiser):
    """∇ E f(z), z_i being code k with probability q_T(k) = softmax(-||e_i - c_k||² / T): RLOO of n draws at the logits,
    whose gradient goes on to encodings and codebook; f also reaches the codebook through z = c_k.
    """

    formula = (
        r"g = \nabla\, \mathbb{E}_{q_T} f(z) \text{ by leave-one-out},\quad q_T(z_i = c_k) = "
        r"\operatorname{softmax}_k(-\|e_i - c_k\|^2 / T)"
    )
    name = "stochastic-vq"
    latents = ("encodings",)
    differentiates = True
    hyperparameters = {"n": {"default": 2, "min": 2, "about": "draws of the codes"}}
    cost = "n evaluations, n differentiations"
    reference = "Roy et al. 2018, Theory and experiments on vector quantized autoencoders, for q_T; `rloo`"

    n: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.rloo = Rloo(LatentSpec.categorical(spec.event_shape[0], spec.codes), n=self.n)

    def claim(self) -> Claim:
        return Claim()

    def sample(self, latent: Encodings, generator: Generator | None) -> Tensor:
        return self.rloo.sample(latent.distribution, generator)

    def gradient(self, f: Objective, latent: Encodings, draw: Tensor) -> Estimate:
        return Estimate(
            self.rloo.gradient(lambda z: f(latent.mix(z)), latent.distribution, draw).spliced(latent.distribution)
        )
