"""Latent distributions q_φ(z given x): one packed tensor of parameters each."""

from .bernoulli import Bernoulli
from .categorical import Categorical
from .latent import Latent, LatentSpec, Objective, expectation

LATENTS: dict[str, type[Latent]] = {"bernoulli": Bernoulli, "categorical": Categorical}

__all__ = ["LATENTS", "Bernoulli", "Categorical", "Latent", "LatentSpec", "Objective", "expectation"]
