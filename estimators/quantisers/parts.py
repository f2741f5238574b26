"""What the quantisers share: a code passed on in place of an encoding, and the losses that pull the two together."""

from __future__ import annotations

from torch import Tensor

from ..latents import Objective


def passed_on(f: Objective, code: Tensor, path: Tensor) -> Tensor:
    """f at exactly the codes [*batch, N, D], its gradient in them going to `path`, shaped alike; [*batch]."""
    z = code.detach() + (path - path.detach())
    return f(z.unsqueeze(0)).squeeze(0)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Σ_i ||a_i - b_i||², [*batch], of [*batch, N, D]."""
    return (a - b).square().sum((-2, -1))


def codebook_and_commitment(encodings: Tensor, code: Tensor, beta: float) -> Tensor:
    """||sg(e) - c||² + β ||e - sg(c)||², summed over sites, [*batch]."""
    return distance(encodings.detach(), code) + beta * distance(encodings, code.detach())
