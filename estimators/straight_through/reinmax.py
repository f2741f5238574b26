"""ReinMax: Heun's second-order method instead of straight-through's Euler step."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .surrogates import pulled_back


class Reinmax(Estimator):
    """Forward z ~ q; backward with π_D = ½ (softmax(φ/τ) + z), J = ∂f/∂z and S(p) = diag(p) - p pᵀ:

    g = 2 S(π_D) J - ½ S(π) J.

    At τ = 1 the same as `zgr`, and exact for f quadratic in each site; the paper trains with τ from 1 to 1.5.
    """

    formula = (
        r"g = 2 S(\pi_D) J - \tfrac12 S(\pi) J,\quad \pi_D = \tfrac12 (\operatorname{softmax}(\phi / \tau) + "
        r"z),\ S(p) = \operatorname{diag}(p) - p p^\top,\ J = \partial f / \partial z"
    )
    name = "reinmax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "tau": {"default": 1.0, "above": 0.0, "about": "temperature of the probabilities in the midpoint"}
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Liu, Dong, Liu, Yu & Gao 2023, Bridging discrete and backpropagation: straight-through and beyond"

    tau: float

    def claim(self) -> Claim:
        return Claim(unbiased=False, exact_for="f quadratic in each site" if self.tau == 1 else "")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        pi = latent.probs.detach()
        tempered = pi if self.tau == 1 else latent.tempered_probs(self.tau).detach()
        half = 0.5 * (tempered + draw)

        def pullback(j: Tensor, half: Tensor, pi: Tensor) -> Tensor:
            return 2 * latent.softmax_jacobian(half, j) - 0.5 * latent.softmax_jacobian(pi, j)

        return Estimate(f(pulled_back(draw, latent.params, pullback, half, pi)).mean(0))
