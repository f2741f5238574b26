"""The gapped straight-through estimator."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, Objective
from .surrogates import pulled_back


class GappedSt(Estimator):
    """Forward z ~ q; backward the softmax Jacobian at logits φ' that favour z by a gap:

    φ'_z = max φ and φ'_j = min(φ_j, max φ - gap) for the others; g = S(y) ∂f/∂z / τ with
    y = softmax(φ'/τ) and S(y) = diag(y) - y yᵀ. For a bit φ' = s max(s φ, gap), s = 2b - 1.

    In the straight-through Gumbel-softmax the shared noise makes surrogate and sample agree; here the gap does, without
    noise.
    """

    formula = (
        r"\begin{aligned} g &= \tfrac1\tau S(y)\, \frac{\partial f}{\partial z},\quad y = "
        r"\operatorname{softmax}(\phi' / \tau),\ S(y) = \operatorname{diag}(y) - y y^\top, \\ \phi'_z &= \max "
        r"\phi,\quad \phi'_j = \min(\phi_j, \max \phi - \mathrm{gap}),\ j \ne z \end{aligned}"
    )
    name = "gapped-st"
    aliases = ("gst",)
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "gap": {"default": 1.0, "min": 0.0, "about": "least margin of the drawn class's logit in the backward pass"},
        "tau": {"default": 1.0, "above": 0.0, "about": "temperature of the backward pass"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Fan, Chi, Rudnicky & Ramadge 2022, Training discrete deep generative models via gapped straight-through"
    )

    gap: float
    tau: float

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        y = latent.relax(latent.gapped(draw, self.gap), self.tau)
        z = pulled_back(draw, latent.params, lambda j, y: latent.softmax_jacobian(y, j) / self.tau, y)
        return Estimate(f(z).mean(0))
