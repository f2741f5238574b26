"""The pathwise estimator: the reparametrisation trick."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..contract import Estimate, Estimator, Unsupported
from ..latents import FAMILIES, Continuous, LatentSpec, Objective


class Pathwise(Estimator):
    """g = (1/n) Σ_k ∇_φ f(g(φ, ε_k)): z_k = g(φ, ε_k) ~ q, the distribution of ε without φ (Paul 2023, section 1.6).

    Every family here has such a path in all of its parameters; that of gamma variables is torch's implicit one. For a
    Cauchy distribution the gradient has no mean. f must be differentiable in z, without jumps.
    """

    formula = r"g = \tfrac1n \sum_k \nabla_\phi f(g(\phi, \varepsilon_k)),\quad g(\phi, \varepsilon_k) \sim q"
    name = "pathwise"
    aliases = ("reparametrisation", "reparameterization")
    latents = ("continuous",)
    differentiates = True
    hyperparameters = {"n": {"default": 1, "min": 1, "about": "draws of z"}}
    cost = "n evaluations, n differentiations"
    reference = (
        "Kingma & Welling 2014, Auto-encoding variational Bayes; Rezende, Mohamed & Wierstra 2014; "
        "Figurnov, Mohamed & Mnih 2018, Implicit reparameterization gradients"
    )

    n: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        if not FAMILIES[spec.family].finite_path:
            raise Unsupported(
                f"the pathwise gradient in the scale of a {spec.family} latent has no mean, so none is unbiased"
            )

    def sample(self, latent: Continuous, generator: Generator | None) -> Tensor:
        return latent.rsample(self.n, generator)

    def gradient(self, f: Objective, latent: Continuous, draw: Tensor) -> Estimate:
        return Estimate(f(draw).mean(0))
