"""Gradient estimators for discrete latent variables: the contract, the registry, one short file per estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if not __name__.startswith("dvae_bench."):
    raise ImportError("this folder is the package dvae_bench.estimators: install the project and import that name")

if TYPE_CHECKING:
    from .contract import Estimator
    from .latents import LatentSpec


def estimator(name: str, spec: LatentSpec, *lower: LatentSpec) -> Estimator:
    """Build an estimator from its name, on torch's default device: `estimator("rloo:n=4", LatentSpec.bernoulli(200))`.

    lower: the specs of the stochastic layers inside f. With any, one estimator per layer is built, joined by `Layered`.

    Raises UsageError for an unknown name, an unknown hyper-parameter or one out of its range, and
    Unsupported if the estimator cannot handle this latent.
    """
    from .names import Name
    from .registry import ESTIMATORS

    parsed = Name.parse(name)
    cls = ESTIMATORS.find(parsed.family).load()
    if not lower:
        return cls(spec, **parsed.values)
    from .layered import Layered

    return Layered([cls(each, **parsed.values) for each in (spec, *lower)])
