"""Shared by the quantisers: a code passed on in place of an encoding, and the losses that pull the two together."""

from __future__ import annotations

from torch import Tensor

from ..latents import Objective


def passed_on(f: Objective, code: Tensor, path: Tensor) -> Tensor:
    """f at exactly the codes [*batch, N, D], [*batch]; its gradient there goes to `path`, of the same shape."""
    z = code.detach() + (path - path.detach())  # in brackets, which are exactly 0: f sees exactly the code
    return f(z.unsqueeze(0)).squeeze(0)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Σ_i ||a_i - b_i||², [*batch], of [*batch, N, D]."""
    return (a - b).square().sum((-2, -1))


def codebook_and_commitment(encodings: Tensor, code: Tensor, beta: float) -> Tensor:
    """||sg(e) - c||² + β ||e - sg(c)||², summed over sites, [*batch]."""
    return distance(encodings.detach(), code) + beta * distance(encodings, code.detach())
