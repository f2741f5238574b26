"""The identity straight-through estimator."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator
from ..latents import ExponentialFamily, Objective
from .surrogates import pulled_back


class IdentitySt(Estimator):
    """Forward a hard z; backward dz/dφ := I: the gradient in z is copied to the logits, g = ∂f/∂z.

    The original form of straight-through; `straight-through` multiplies by the derivative of σ or softmax as well.
    Its scale is that of a gradient in p (for linear f it is unbiased for ∇_p E_q f, not for ∇_φ E_q f). For
    classes it is not centred: it also shifts all logits of a site alike, which changes no probability.
    """

    formula = r"g = \frac{\partial f}{\partial z}"
    name = "identity-st"
    latents = ("bernoulli", "categorical", "subset")
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = (
        "Hinton 2012, lecture 9c; Bengio, Léonard & Courville 2013, Estimating or propagating gradients through "
        "stochastic neurons, section 4"
    )

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        return Estimate(f(pulled_back(draw, latent.params, lambda j: j)).mean(0))
