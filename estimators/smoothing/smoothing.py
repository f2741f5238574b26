"""Smoothing transformations of bits, each a function of p and of one uniform."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from ..annealing import Schedule
from ..contract import Claim, Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..latents.noise import uniform
from ..quadrature import smoothed_expectation, uniform_of_bit
from .transforms import TRANSFORMS


class Smoothing(Estimator):
    """∇_φ f(ζ), ζ_d = f_i(β, σ(φ_d), ε_d) with ε_d ~ U(0, 1): the bits z = 1[ε ≥ 1 - p] with their step smoothed.

    With u = (ε + p - 1) / p: f1 = log(u (e^β - 1) + 1) / β, f2 = 1 - (1 - u)^β, f2' (f2p) = u^(1/β) and f2'' (f2pp) =
    (1 + β) u / (1 + β u) on [1 - p, 1] and 0 below: no gradient flows while the bit is 0. f3 and f3' (f3p) smooth both
    sides of 1 - p. p is kept in [1e-7, 1 - 1e-7]. f1, the default with β = 5, is the DVAE's spike-and-exponential.

    Unbiased for its own E f(ζ), biased for E_q f. From β = 2 on the variance of f2' and f3' is infinite: their roots
    give dζ/dp ~ u^(1/β - 1). float32 draws no u below 6e-8 = e^-17, so that the mean gradient misses that part:
    about the share 1 - 17/β for f1 above β = 17, and (6e-8)^(1/β) for f2'.

    With rate > 0, β = min(max_beta, beta exp(rate t)) after t training steps.
    """

    formula = (
        r"g = \nabla_\phi f(\zeta),\quad \zeta_d = f_i(\beta, \sigma(\phi_d), \varepsilon_d),\ \varepsilon_d "
        r"\sim U(0, 1);\qquad f_1(\beta, p, \varepsilon) = \tfrac1\beta \log\Big(\tfrac{\varepsilon + p - "
        r"1}{p} (e^\beta - 1) + 1\Big) \text{ on } [1 - p, 1],\ \text{else } 0"
    )
    name = "smoothing"
    aliases = ("dvae-spike-exp",)
    latents = ("bernoulli",)
    differentiates = True
    hyperparameters = {
        "f": {
            "default": "f1",
            "choices": ("f1", "f2", "f2p", "f2pp", "f3", "f3p"),
            "about": "smoothing transformation",
        },
        "beta": {"default": 5.0, "above": 0.0, "about": "sharpness of the smoothing; the initial one if rate > 0"},
        "rate": {
            "default": 0.0,
            "min": 0.0,
            "about": "growth of beta: beta exp(rate t) after t training steps; 0 keeps it fixed",
        },
        "max_beta": {"default": 15.0, "above": 0.0, "about": "largest value of beta"},
    }
    cost = "1 evaluation, 1 differentiation"
    reference = "Rolfe 2017, Discrete variational autoencoders (f1); Paul 2023, section 2.3, corrected (the others)"

    f: str
    beta: float
    rate: float
    max_beta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.sharpness = Schedule.rising(self, "beta")

    def claim(self) -> Claim:
        steepest = self.max_beta if self.rate > 0 else self.beta
        return Claim(target="own-relaxed", finite_variance=self.f not in ("f2p", "f3p") or steepest < 2)

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        return uniform((1, *latent.params.shape), latent.params, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        return Estimate(f(self.smooth(latent, draw)).squeeze(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.sharpness.count()

    def smooth(self, latent: Discrete, eps: Tensor) -> Tensor:
        """ζ at ε [n, *batch, D]."""
        p = latent.probs.clamp(1e-7, 1 - 1e-7)
        return TRANSFORMS[self.f](self.sharpness(), p, eps)

    def stand_in(self, latent: Discrete, zeta: Tensor) -> Tensor:
        """z = 1[ζ > 0] with the gradient (1 - z) / (1 - p) dp, DVAE's equations 11 and 12: where a bit turns from 0 to
        1, ζ is 0. f3 and f3' have no such spike: ζ."""
        if self.f in ("f3", "f3p"):
            return zeta
        p, z = latent.probs.clamp(1e-7, 1 - 1e-7), (zeta > 0).to(zeta)
        fixed = p.detach()
        return z + (1 - z) / (1 - fixed) * (p - fixed)

    def relaxed_target(self, f: Objective, latent: Discrete) -> Tensor | None:
        return smoothed_expectation(f, latent, lambda z, s: self.smooth(latent, uniform_of_bit(z, s, latent.probs)))
