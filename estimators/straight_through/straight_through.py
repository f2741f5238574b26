"""The straight-through estimator."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import ExponentialFamily, Objective


class StraightThrough(Estimator):
    """Forward a hard z; backward dz/dφ := dp_τ/dφ with p_τ = σ(φ/τ), softmax(φ/τ) for categoricals.

    On subsets p_τ are the marginals at φ/τ, and this is SIMPLE: an exact draw of k items, and the covariance of z in
    place of the derivative of a softmax.
    """

    formula = (
        r"g = \frac{\partial p_\tau}{\partial \phi}^{\!\top} \frac{\partial f}{\partial z},\quad p_\tau = "
        r"\operatorname{softmax}(\phi / \tau)"
    )
    name = "straight-through"
    aliases = ("st", "simple")
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    hyperparameters = {"tau": {"default": 1.0, "above": 0.0, "about": "temperature of the backward pass"}}
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Bengio, Léonard & Courville 2013, Estimating or propagating gradients through stochastic neurons; for subsets "
        "Ahmed, Zeng, Niepert & Van den Broeck 2023, SIMPLE: a gradient estimator for k-subset sampling"
    )

    tau: float

    def claim(self) -> Claim:
        linear = "f linear in z" if self.spec.chosen else "f linear in each site (multilinear)"
        return Claim(unbiased=False, exact_for=f"{linear} at tau=1")

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        p = latent.tempered_probs(self.tau)
        return Estimate(f(draw + (p - p.detach())).mean(0))
