"""Latent distributions q_φ(z given x): one packed tensor of parameters each."""

from torch import Tensor

from .bernoulli import Bernoulli
from .categorical import Categorical
from .codebook import CODEBOOKS, Codebook, LinearCodebook
from .encodings import Encodings
from .latent import Discrete, Latent, LatentSpec, Objective, expectation

LATENTS: dict[str, type[Discrete]] = {"bernoulli": Bernoulli, "categorical": Categorical}
KINDS = (*LATENTS, "continuous", "encodings")


def latent_at(spec: LatentSpec, params: Tensor) -> Latent:
    """The latent of this spec with these parameters [*batch, *param_shape]; encodings with a random codebook."""
    if spec.kind == "encodings":
        return Encodings(params, CODEBOOKS[spec.family].random(spec.codes, spec.event_shape[-1], params.detach()))
    return LATENTS[spec.kind](params)


__all__ = [
    "CODEBOOKS",
    "KINDS",
    "LATENTS",
    "Bernoulli",
    "Categorical",
    "Codebook",
    "Discrete",
    "Encodings",
    "Latent",
    "LatentSpec",
    "LinearCodebook",
    "Objective",
    "expectation",
    "latent_at",
]
