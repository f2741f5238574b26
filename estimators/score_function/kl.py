"""The objective E_q f + β KL(q || reference), and the three estimates of the KL from the drawn tokens alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..contract import Estimator
from ..latents import Objective, Sequence, expectation

OF_LOG_RATIO: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda log_ratio: log_ratio,
    "k2": lambda log_ratio: log_ratio.square() / 2,
    "k3": lambda log_ratio: torch.expm1(-log_ratio) + log_ratio,
}
"""k of l = log q - log reference (Schulman 2020): E k1 = E k3 = KL(q || reference); 0 at the l = 0 of padding."""
SLOPE: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": torch.ones_like,
    "k2": lambda log_ratio: log_ratio,
    "k3": lambda log_ratio: -torch.expm1(-log_ratio),
}
"""dk/dl, with which k in the loss weighs ∇ log q."""


class Penalised(Estimator):
    """Abstract: an estimator of the gradient of E_q f + β KL(q || reference), with the latent's β and reference."""

    def target(self, f: Objective, latent: Any) -> Tensor:
        return expectation(f, latent) + latent.beta * latent.kl_to_prior()


@torch.no_grad()
def log_ratios(latent: Sequence, z: Tensor, per: str) -> Tensor:
    """log q - log reference of each token, [n, *batch, T], or of the whole sequence, [n, *batch, 1]."""
    of_tokens = latent.log_probs(z) - latent.prior_log_probs(z)
    return of_tokens if per == "token" else of_tokens.sum(-1, keepdim=True)


def penalised_value(f_z: Tensor, log_ratio: Tensor, beta: float) -> Tensor:
    """An estimate of E_q f + β KL, [*batch]: the KL by k1, which is unbiased."""
    return (f_z + beta * log_ratio.sum(-1)).mean(0)
