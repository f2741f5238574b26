"""NVIL: the score-function estimator with a moving average, a learned baseline and a normalised learning signal."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ..averages import move
from ..contract import Claim, Estimate, Estimator, expand_right
from ..latents import Latent, LatentSpec, Objective, class_of
from ..networks import Network


class Draw(NamedTuple):
    """z [n, *batch, *event] and the parameters [*batch, *param_shape] it came from, detached."""

    z: Tensor
    params: Tensor


class Nvil(Estimator):
    """g = (1/n) Σ_k l_k / max(1, √v) ∇ log q(z_k), with the learning signal l_k = f(z_k) - c_ψ(φ) - m.

    m and v are moving averages of f - c_ψ and of l², updated after use (the paper updates them before), so that they
    do not depend on the current draw. The input-dependent baseline c_ψ has one hidden layer of 100 tanh units, starts
    at 0 and is tuned on the mean of l². Its input is φ(x), since an estimator is not given x itself. In eval()
    everything is frozen.

    normalise=yes divides by max(1, √v) as in the paper: the expected gradient is then ∇ E_q f divided by that factor.
    """

    formula = (
        r"g = \tfrac1n \sum_k \frac{l_k}{\max(1, \sqrt v)}\, \nabla \log q(z_k),\quad l_k = f(z_k) - "
        r"c_\psi(\phi) - m"
    )
    name = "nvil"
    latents = ("bernoulli", "categorical", "subset", "continuous")
    hyperparameters = {
        "normalise": {
            "default": "yes",
            "choices": ("yes", "no"),
            "about": "divide the learning signal by its standard deviation, if that is above 1",
        },
        "decay": {"default": 0.8, "min": 0.0, "below": 1.0, "about": "decay of the moving averages, per training step"},
        "n": {"default": 1, "min": 1, "about": "draws of z"},
    }
    cost = "n evaluations"
    reference = "Mnih & Gregor 2014, Neural variational inference and learning in belief networks, algorithm 1"

    normalise: str
    decay: float
    n: int
    total: Tensor
    square: Tensor
    weight: Tensor

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.baseline = Network(math.prod(spec.param_shape), 100, 1, activation=torch.tanh, start_at_zero=True)
        for average in ("total", "square", "weight"):
            self.register_buffer(average, torch.zeros(()))

    def claim(self) -> Claim:
        finite = class_of(self.spec).finite_score
        if self.normalise == "no":
            return Claim(finite_variance=finite)
        exact_for = "f of standard deviation at most 1; else shrunk by 1 / √v"
        return Claim(unbiased=False, finite_variance=finite, exact_for=exact_for)

    def sample(self, latent: Latent, generator: Generator | None) -> Draw:
        return Draw(latent.sample(self.n, generator), latent.params.detach())

    def gradient(self, f: Objective, latent: Latent, draw: Draw) -> Estimate:
        f_z, score = f(draw.z), latent.score(draw.z)
        # Before the first update the averages are 0 / tiny = 0.
        weight = self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)
        with torch.set_grad_enabled(self.training):
            signal = f_z.detach() - self._baseline(draw.params) - self.total / weight
        tuning_loss = signal.square().mean() if self.training else None
        scale = (self.square / weight).sqrt().clamp_min(1) if self.normalise == "yes" else 1
        return Estimate(f_z.mean(0), (expand_right(signal.detach() / scale, score) * score).mean(0), tuning_loss)

    @torch.no_grad()
    def update(self, draw: Draw, estimate: Estimate) -> None:
        if estimate.tuning_loss is None:
            return
        mean = (estimate.value.detach() - self._baseline(draw.params).detach()).mean()
        square = estimate.tuning_loss.detach()
        known = 1 + 0 * (mean + square)  # NaN, which is left out, where one of the two is not finite
        for average, towards in ((self.total, mean * known), (self.square, square * known), (self.weight, known)):
            move(average, towards, self.decay)

    def _baseline(self, params: Tensor) -> Tensor:
        return self.baseline(params.flatten(-len(self.spec.param_shape))).squeeze(-1)
