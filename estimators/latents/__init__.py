"""Latent distributions q_φ(z given x), each with one packed tensor of parameters."""

from torch import Tensor

from .bernoulli import Bernoulli
from .categorical import Categorical
from .codebook import CODEBOOKS, Codebook, LinearCodebook
from .continuous import FAMILIES, Continuous, Gaussian
from .discrete import Discrete
from .encodings import Encodings
from .exponential_family import ExponentialFamily
from .latent import Latent, Objective, expand_right, expectation, kept_wide
from .policy import Policy
from .sequence import Sequence
from .spec import LatentSpec
from .subset import Subset

LATENTS: dict[str, type[Discrete]] = {"bernoulli": Bernoulli, "categorical": Categorical}
OF_KIND: dict[str, type[Latent]] = {**LATENTS, "subset": Subset, "sequence": Sequence, "encodings": Encodings}
KINDS = (*LATENTS, "subset", "sequence", "continuous", "encodings")


def class_of(spec: LatentSpec) -> type[Latent]:
    """The class of this spec's latents."""
    return FAMILIES.get(spec.family) or OF_KIND[spec.kind]


def latent_at(spec: LatentSpec, params: Tensor) -> Latent:
    """The latent of this spec with these parameters [*batch, *param_shape]; encodings with a random codebook."""
    return class_of(spec).from_spec(spec, params)


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
    "ExponentialFamily",
    "Gaussian",
    "Latent",
    "LatentSpec",
    "LinearCodebook",
    "Objective",
    "Policy",
    "Sequence",
    "Subset",
    "class_of",
    "expand_right",
    "expectation",
    "kept_wide",
    "latent_at",
]
