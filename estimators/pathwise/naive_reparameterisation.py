"""The reparameterisation trick on a discrete z: its gradient is zero almost surely."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from ..latents.noise import uniform


class NaiveReparameterisation(Estimator):
    """z = g(φ, ε), the class c of each site with ε in [Σ_{i<c} π_i, Σ_{i≤c} π_i), ε ~ U(0, 1): a step function of φ at
    fixed ε, so that ∇_φ f(g(φ, ε)) = 0 almost surely.

    What remains of the gradient of -ELBO is that of the analytic KL: it drives the encoder to the prior, and z carries
    no information about x. It is here to show that, not to train with.
    """

    formula = (
        r"g = \nabla_\phi f(g(\phi, \varepsilon)) = 0 \text{ almost surely},\quad g(\phi, \varepsilon) = c "
        r"\text{ where } \sum_{i<c} \pi_i \le \varepsilon < \sum_{i \le c} \pi_i"
    )
    name = "naive-reparameterisation"
    latents = ("bernoulli", "categorical")
    cost = "1 evaluation"
    reference = "Paul 2023, A Layman's Understanding of Discrete Variational Autoencoders, section 2"

    def claim(self) -> Claim:
        return Claim(target="none", unbiased=False, exact_for="f constant in z")

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        u = uniform((1, *latent.site_shape), latent.params, generator)
        return latent.icdf(u)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        return Estimate(f(draw).squeeze(0), torch.zeros_like(latent.params))
