"""Shared by the bounds: importance weights, the n-sample bound, and its exact expectation by enumerating z once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..contract import expand_right
from ..latents import Discrete, Objective

STEP = 0.25


def log_weights(f: Objective, latent: Discrete, z: Tensor) -> Tensor:
    """log w = log p(x, z) - log q(z) = -f(z) - log q(z), [n, *batch]; log q is differentiable in φ."""
    return -f(z) - latent.log_prob(z)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """L = log (1/n) Σ_k w_k, [*batch]."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def replaced(log_w: Tensor, other: Tensor) -> Tensor:
    """Entry (j, k) is log w_j, and other_k where j = k: [n, *batch] twice -> [n, n, *batch]."""
    n = len(log_w)
    diagonal = expand_right(torch.eye(n, dtype=torch.bool, device=log_w.device), log_w.unsqueeze(0))
    return torch.where(diagonal, other.unsqueeze(0), log_w.unsqueeze(1))


def leave_one_out(log_w: Tensor) -> Tensor:
    """log 1/(n-1) Σ_{j≠k} w_j for each k, [n, *batch]."""
    return replaced(log_w, torch.full_like(log_w, -math.inf)).logsumexp(0) - math.log(len(log_w) - 1)


def mean_of_others(log_w: Tensor) -> Tensor:
    """1/(n-1) Σ_{j≠k} log w_j for each k, [n, *batch]: summed without k, since log w_k may be infinite."""
    return replaced(log_w, torch.zeros_like(log_w)).sum(0) / (len(log_w) - 1)


def baseline(log_w: Tensor) -> Tensor:
    """0 where it is log 0, which happens if no other draw has any weight: a baseline must be finite."""
    return log_w.masked_fill(log_w == -math.inf, 0)


def weighted_mean(weight: Tensor, x: Tensor) -> Tensor:
    """Σ weight x over the first dimension, where an x of weight 0 counts for nothing, even if it is infinite."""
    return (weight * x.masked_fill(weight == 0, 0)).sum(0)


def weighted_score(weight: Tensor, latent: Discrete, z: Tensor) -> Tensor:
    """Σ_k weight_k ∇ log q(z_k), detached: weight [n, *batch] -> [*batch, *param_shape]."""
    score = latent.score(z)
    return (expand_right(weight.detach(), score) * score).sum(0)


def expected_bound(log_q: Tensor, log_w: Tensor, n: int) -> Tensor:
    """E log (1/n) Σ_k w(z_k) over n draws z_k ~ q, [*batch], from log q(z) and log w(z) of every z, [Z, *batch].

    With S = Σ_k w(z_k) and M(t) = Σ_z q(z) exp(-t w(z)), so that E exp(-t S) = M(t)^n,

        E log S = ∫_0^∞ (exp(-t) - M(t)^n) dt / t = ∫ (exp(-e^s) - M(e^s)^n) ds,

    the integrand analytic for |Im s| < π/2: the trapezoid rule of step h errs by about exp(-π²/h), 1e-17. The grid
    goes from where both terms are 1 to where both are 0; w is scaled to a maximum of 1. If some z has w = 0, as where f
    is infinite, all n draws may be that z, and the expectation is minus infinity; its gradient is not finite either.
    """
    info = torch.finfo(log_w.dtype)
    weightless = log_w == -math.inf
    scale = log_w.detach().amax(0).clamp_min(info.min)
    shifted = log_w - scale
    spread = float(-shifted.detach().masked_fill(weightless, 0).min()) if shifted.numel() else 0.0
    vanishing = math.log(-math.log(info.tiny))
    first, last = math.log(info.eps / n), spread + math.log(-math.log(info.eps)) + 1
    s = first + STEP * torch.arange(math.ceil((last - first) / STEP), device=log_w.device, dtype=log_w.dtype)
    s = s.view(-1, *[1] * log_w.dim())

    def decay(log_t: Tensor) -> Tensor:
        """exp(-t), without overflow in t."""
        return (-log_t.clamp_max(vanishing).exp()).exp()

    transform = (log_q.exp() * decay(s + shifted)).sum(1)
    drawn = weightless & (log_q > -math.inf)
    infinite = (torch.where(drawn, log_q - 1, 0) * torch.where(drawn, math.inf, 0.0)).sum(0)
    return scale + STEP * (decay(s.squeeze(1)) - transform**n).sum(0) - math.log(n) + infinite


def exact_loss(f: Objective, latent: Discrete, n: int) -> Tensor:
    """-E log (1/n) Σ_k w(z_k) by enumeration, [*batch]: the mean of the loss of an unbiased estimator."""
    z = latent.support()
    return -expected_bound(latent.log_prob(z), log_weights(f, latent, z), n)
