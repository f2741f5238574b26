"""The smoothing transformations f(β, p, ε): increasing in ε from 0 to 1, to 1[ε ≥ 1 - p] as β grows.

Each takes p in (0, 1) and ε in [0, 1] of shapes that broadcast, and β > 0 as a number or a tensor of no dimensions.
u = (ε + p - 1) / p is how far ε is into [1 - p, 1], where the bit is 1. It is clamped at 0 before any logarithm, root
or power is taken, so that no backward pass meets 0 · ∞; 1 - u = (1 - ε) / p keeps its precision for every p.

f1 to f2pp are constant 0 while the bit is 0: no gradient flows there. The derivatives of the roots (f2p, f3p) are
unbounded at ε = 1 - p, where each takes the constant instead. f2'' and f3' are corrected: f2'' is the hyperbola that is
0 at u = 0 and 1 at u = 1, f3' has the sign of its second root changed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Beta = float | Tensor


def f1(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """Spike-and-exponential: log(u (e^β - 1) + 1) / β; any base of the logarithm gives the same with another β."""
    u = 1 - _left(p, eps)
    inside = u > 0
    exponent = beta + (torch.where(inside, u, 1) * (1 - math.e**-beta)).log()
    return torch.where(inside, -logsigmoid(-exponent) / beta, 0)


def f2(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """1 - (1 - u)^β."""
    return 1 - _left(p, eps) ** beta


def f2p(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """f2': u^(1/β)."""
    return _root(1 - _left(p, eps), beta)


def f2pp(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """f2'' corrected: (1 + β) u / (1 + β u)."""
    u = 1 - _left(p, eps)
    return (1 + beta) * u / (1 + beta * u)


def f3(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """(1 - p) (ε / (1 - p))^β for ε < 1 - p, else 1 - p (1 - u)^β."""
    below = (1 - p) * _left(1 - p, 1 - eps) ** beta
    return torch.where(1 - eps > p, below, 1 - p * _left(p, eps) ** beta)


def f3p(beta: Beta, p: Tensor, eps: Tensor) -> Tensor:
    """f3' corrected: (1 - p) (1 - ((1 - p - ε) / (1 - p))^(1/β)) for ε < 1 - p, else 1 - p (1 - u^(1/β))."""
    below = (1 - p) * (1 - _root(1 - _left(1 - p, 1 - eps), beta))
    return torch.where(1 - eps > p, below, 1 - p * (1 - _root(1 - _left(p, eps), beta)))


TRANSFORMS = {"f1": f1, "f2": f2, "f2p": f2p, "f2pp": f2pp, "f3": f3, "f3p": f3p}


def _left(p: Tensor, eps: Tensor) -> Tensor:
    """1 - u = (1 - ε) / p, at most 1: the part of the bit's interval that lies above ε."""
    return ((1 - eps) / p).clamp_max(1)


def _root(x: Tensor, beta: Beta) -> Tensor:
    """x^(1/β), and a constant at x = 0."""
    inside = x > 0
    return torch.where(inside, torch.where(inside, x, 1) ** (1 / beta), 0)
