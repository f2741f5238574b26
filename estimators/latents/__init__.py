"""Latent distributions q_φ(z given x): one packed tensor of parameters each."""

from torch import Tensor

from .bernoulli import Bernoulli
from .categorical import Categorical
from .continuous import FAMILIES, Continuous, Gaussian
from .latent import Discrete, Latent, LatentSpec, Objective, expectation

LATENTS: dict[str, type[Discrete]] = {"bernoulli": Bernoulli, "categorical": Categorical}
KINDS = (*LATENTS, "continuous", "encodings")


def latent_at(spec: LatentSpec, params: Tensor) -> Latent:
    """The latent of this spec with these parameters [*batch, *param_shape]."""
    return FAMILIES[spec.family](params) if spec.kind == "continuous" else LATENTS[spec.kind](params)


def finite_score(spec: LatentSpec) -> bool:
    """Whether the score of this spec's latents has a variance."""
    return spec.kind != "continuous" or FAMILIES[spec.family].finite_score


__all__ = [
    "FAMILIES",
    "KINDS",
    "LATENTS",
    "Bernoulli",
    "Categorical",
    "Continuous",
    "Discrete",
    "Gaussian",
    "Latent",
    "LatentSpec",
    "Objective",
    "expectation",
    "finite_score",
    "latent_at",
]
