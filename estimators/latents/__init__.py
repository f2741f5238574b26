"""Latent distributions q_φ(z given x): one packed tensor of parameters each."""

from torch import Tensor

from .bernoulli import Bernoulli
from .categorical import Categorical
from .latent import Discrete, Latent, LatentSpec, Objective, expectation

LATENTS: dict[str, type[Discrete]] = {"bernoulli": Bernoulli, "categorical": Categorical}
KINDS = (*LATENTS, "continuous", "encodings")


def latent_at(spec: LatentSpec, params: Tensor) -> Latent:
    """The latent of this spec with these parameters [*batch, *param_shape]."""
    return LATENTS[spec.kind](params)


__all__ = [
    "KINDS",
    "LATENTS",
    "Bernoulli",
    "Categorical",
    "Discrete",
    "Latent",
    "LatentSpec",
    "Objective",
    "expectation",
    "latent_at",
]
