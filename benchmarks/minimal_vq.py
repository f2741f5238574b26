"""A hand-written quantiser layer with an EMA codebook (section 2.4 of the seed document), and another package's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BATCH, SITES, WIDTH, CODES = 32, 64, 64, 512
BETA, DECAY, EPS = 0.25, 0.99, 1e-5


class MinimalEma:
    """Forward, backward and update of the codebook E [CODES, WIDTH] on x [BATCH, SITES, WIDTH]; sets x.grad.

    The loss is (Σ out w + β Σ ||x - sg(q)||²) / BATCH, out = x + sg(q - x).
    """

    def __init__(self, x: Tensor, w: Tensor, codebook: Tensor) -> None:
        self.x, self.w, self.codebook = x, w, codebook
        self.counts, self.sums = torch.ones(CODES), codebook.clone()

    def __call__(self) -> None:
        flat = self.x.view(-1, WIDTH)
        fixed = flat.detach()
        codes = (self.codebook.square().sum(1) - 2 * fixed @ self.codebook.T).argmin(1)
        q = self.codebook[codes]
        out = flat + (q - fixed)
        loss = ((out.view_as(self.x) * self.w).sum() + BETA * (flat - q).square().sum()) / BATCH
        self.counts.mul_(DECAY).add_(torch.bincount(codes, minlength=CODES), alpha=1 - DECAY)
        self.sums.mul_(DECAY).index_add_(0, codes, fixed, alpha=1 - DECAY)
        total = self.counts.sum()
        self.codebook = self.sums / ((self.counts + EPS) / (total + CODES * EPS) * total).unsqueeze(1)
        self.x.grad = None
        loss.backward()


def peer_step(x: Tensor, w: Tensor, codebook: Tensor) -> Callable[[], None]:
    """The same step with the straight-through layer of vector-quantize-pytorch."""
    from vector_quantize_pytorch import VectorQuantize

    layer = VectorQuantize(
        dim=WIDTH, codebook_size=CODES, decay=DECAY, commitment_weight=BETA, eps=EPS, rotation_trick=False
    )
    layer.codebook = codebook

    def step() -> None:
        out, _, commitment = layer(x)
        loss = (out * w).sum() / BATCH + commitment.sum()
        x.grad = None
        loss.backward()

    return step
