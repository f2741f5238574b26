"""Latent distributions q_φ(z given x): one packed tensor of parameters each."""

from torch import Tensor

from .bernoulli import Bernoulli
from .categorical import Categorical
from .codebook import CODEBOOKS, Codebook, LinearCodebook
from .continuous import FAMILIES, Continuous, Gaussian
from .encodings import Encodings
from .latent import Discrete, Latent, LatentSpec, Objective, expectation

LATENTS: dict[str, type[Discrete]] = {"bernoulli": Bernoulli, "categorical": Categorical}
KINDS = (*LATENTS, "continuous", "encodings")


def latent_at(spec: LatentSpec, params: Tensor) -> Latent:
    """The latent of this spec with these parameters [*batch, *param_shape]; encodings with a random codebook."""
    if spec.kind == "continuous":
        return FAMILIES[spec.family](params)
    if spec.kind == "encodings":
        return Encodings(params, CODEBOOKS[spec.family].random(spec.codes, spec.event_shape[-1], params.detach()))
    return LATENTS[spec.kind](params)


def finite_score(spec: LatentSpec) -> bool:
    """Whether the score of this spec's latents has a variance."""
    return spec.kind != "continuous" or FAMILIES[spec.family].finite_score


__all__ = [
    "CODEBOOKS",
    "FAMILIES",
    "KINDS",
    "LATENTS",
    "Bernoulli",
    "Categorical",
    "Codebook",
    "Continuous",
    "Discrete",
    "Encodings",
    "Gaussian",
    "Latent",
    "LatentSpec",
    "LinearCodebook",
    "Objective",
    "expectation",
    "finite_score",
    "latent_at",
]
