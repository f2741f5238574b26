"""MVE: the minimum-variance straight-through estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..annealing import Schedule
from ..contract import Claim, Estimate, Estimator
from ..latents import Categorical, Discrete, LatentSpec, Objective
from .surrogates import pulled_back


class Mve(Estimator):
    """Forward z ~ q; backward g = S_zᵀ J, J = ∂f/∂z. The S_z are exact for linear f and, among all that are, minimise
    the variance plus t (temp) times the squared bias on quadratics, both averaged over f. t = 0 is `straight-through`;
    as t → ∞ the bias on quadratics vanishes.

    With x the class drawn, e = J - J_x, P_ij = 1/(1 + t (π_i + π_j)) and β_i = (1 + t π_i)/(1 + 2 t π_i):

    g = (diag(π) - ππᵀ)(β ∘ w), A w = y, where A_ij = -t π_i π_j P_ij off the diagonal, row i of A sums to Σ_j π_j P_ij,
    and y_i = e_i (1 + t π_i) P_ix, less Σ_j e_j t π_j P_jx at i = x.

    For a bit, with π_o the probability of the value not drawn, g = J p (1 - p)(1 + 2 t π_o)/(1 + 4 t p (1 - p)).

    The bias for other f can grow with t. With rate > 0, t = min(max_temp, temp exp(rate n)) after n training steps; the
    paper raises t from 1 to 1e6 along training.
    """

    formula = (
        r"\begin{aligned} g &= (\operatorname{diag}(\pi) - \pi \pi^\top)(\beta \circ w),\quad A w = y,\quad "
        r"\beta_i = \frac{1 + t \pi_i}{1 + 2 t \pi_i}, \\ A_{ij} &= -t \pi_i \pi_j P_{ij}\ (i \ne j),\quad "
        r"\sum_j A_{ij} = \sum_j \pi_j P_{ij},\quad P_{ij} = \frac{1}{1 + t(\pi_i + \pi_j)}, \\ y_i &= e_i (1 "
        r"+ t \pi_i) P_{ix} - 1[i = x] \sum_j e_j t \pi_j P_{jx},\quad e = J - J_x,\ J = \partial f / "
        r"\partial z \end{aligned}"
    )
    name = "mve"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "temp": {
            "default": 1e6,
            "min": 0.0,
            "about": "weight of squared bias against variance; the initial one if rate > 0",
        },
        "rate": {
            "default": 0.0,
            "min": 0.0,
            "about": "growth of temp: temp exp(rate t) after t training steps; 0 keeps it fixed",
        },
        "max_temp": {"default": 1e6, "above": 0.0, "about": "largest value of temp"},
    }
    cost = "1 evaluation, 1 differentiation (and K equations in K unknowns for each site)"
    reference = "Hooper & Shekhovtsov 2026, Generalized and optimal straight-through estimators"

    temp: float
    rate: float
    max_temp: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.schedule = Schedule.rising(self, "temp")

    def claim(self) -> Claim:
        return Claim(unbiased=False, exact_for="f linear in each site (and quadratic in each as temp → ∞)")

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        t, pullback = self.schedule(), OF_KIND[latent.spec.kind]

        def at(j: Tensor, logits: Tensor, z: Tensor) -> Tensor:
            return pullback(logits, z, j, t)

        return Estimate(f(pulled_back(draw, latent.params, at, latent.params.detach(), draw)).mean(0))

    def update(self, draw: Tensor, estimate: Estimate) -> None:
        self.schedule.count()


def of_bits(logits: Tensor, z: Tensor, j: Tensor, t: float | Tensor) -> Tensor:
    """J p (1 - p) (1 + 2 t π_o) / (1 + 4 t p (1 - p))."""
    variance, other = logits.sigmoid() * (-logits).sigmoid(), ((1 - 2 * z) * logits).sigmoid()
    return j * variance * (1 + 2 * t * other) / (1 + 4 * t * variance)


def of_classes(logits: Tensor, z: Tensor, j: Tensor, t: float | Tensor) -> Tensor:
    """(diag(π) - ππᵀ) (β ∘ w)."""
    pi = logits.softmax(-1)
    return Categorical.softmax_jacobian(pi, (1 + t * pi) / (1 + 2 * t * pi) * solve(pi, z, j, t))


OF_KIND = {"bernoulli": of_bits, "categorical": of_classes}


def solve(pi: Tensor, z: Tensor, j: Tensor, t: float | Tensor) -> Tensor:
    """The solution w of A w = y, all [*, N, K], with row i of the system divided by 1 + t π_i.

    For large t the sum of all rows of A is nearly 0, so that A is nearly singular. That sum is known exactly: it is
    Σ_j π_j P_ij at column i and Σ_i e_i P_ix on the right. Adding it to every row leaves w unchanged and makes the
    system as well conditioned as at t = 0.
    """
    a = t * pi
    a_x = (z * a).sum(-1, keepdim=True)
    matrix = pi.unsqueeze(-2) / (1 + a.unsqueeze(-1) + a.unsqueeze(-2))
    total = matrix.sum(-1)
    # In place, since the matrices of a minibatch fill no cache: diag(total) - a / (1 + a) share + total, times 1 + t.
    matrix.mul_((-a / (1 + a)).unsqueeze(-1))
    matrix.diagonal(dim1=-2, dim2=-1).add_(total)
    matrix.add_(total.unsqueeze(-2)).mul_(1 + t)
    y = (j - (z * j).sum(-1, keepdim=True)) / (1 + a + a_x)
    right = y - z * (a * y).sum(-1, keepdim=True) / (1 + a_x) + y.sum(-1, keepdim=True)
    # The factor 1 + t keeps the entries of order 1. solve_ex skips solve's error check, which waits for the device.
    return torch.linalg.solve_ex(matrix, (1 + t) * right.unsqueeze(-1))[0].squeeze(-1)
