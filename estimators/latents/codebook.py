"""The code vectors that encodings are quantised to. They belong to the model, as the decoder's weights do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn

from ..names import UsageError
from .latent import kept_wide, out_of_autocast

BLOCK = 64


def distances(points: Tensor, vectors: Tensor) -> Tensor:
    """||e - c_k||² - ||e - o||² of points e [*, D] and vectors c_k [M, D], o the mean code: [*, M]; differentiable.

    In float32 or better, under autocast too. The origin is moved to o because ||c||² - 2 e·c cancels far from it.
    """
    dtype = torch.promote_types(torch.promote_types(points.dtype, vectors.dtype), torch.float32)
    flat, codes = points.flatten(0, -2).to(dtype), vectors.to(dtype)
    origin = codes.detach().mean(0)
    flat, codes = flat - origin, codes - origin
    with out_of_autocast(codes):
        found = torch.addmm(codes.square().sum(-1), flat, codes.mT, alpha=-2)
    return found.view(*points.shape[:-1], len(vectors))


@torch.no_grad()
def nearest(points: Tensor, vectors: Tensor) -> Tensor:
    """argmin_k ||e - c_k||², e of points [*, D], c_k of vectors [M, D] -> [*]; ties go to the first."""
    return argmin(distances(points, vectors).flatten(0, -2)).view(points.shape[:-1])


def argmin(values: Tensor) -> Tensor:
    """argmin over the last dimension of [P, M], found by blocks of BLOCK, which is faster in torch's CPU kernels."""
    if values.shape[1] <= BLOCK or values.shape[1] % BLOCK:
        return values.argmin(-1)
    blocks = values.unflatten(1, (-1, BLOCK))
    block = blocks.amin(-1).argmin(-1)
    first = torch.arange(0, blocks.shape[0] * blocks.shape[1], blocks.shape[1], device=values.device)
    return block * BLOCK + blocks.flatten(0, 1).index_select(0, first + block).argmin(-1)


def tally(points: Tensor, codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """How many points [P, D] have each of `count` codes, [count], and their sums, [count, D]; codes [P].

    Points that are not finite are left out. Float64: in float32 the sum of a busy code stops growing.
    """
    finite = points.isfinite().all(-1)
    terms = points.where(finite.unsqueeze(-1), 0).double()
    sums = terms.new_zeros(count, points.shape[1]).index_add_(0, codes, terms)
    return terms.new_zeros(count).index_add_(0, codes, finite.double()), sums


class Codebook(nn.Module):
    """M code vectors c_k of width D, `vectors` [M, D], a parameter: trained by gradients, or moved by averages.

    counts [M] and sums [M, D]: the moving averages N and m of section 2.4, which start at one vector per code.
    """

    family: ClassVar[str] = ""
    counts: Tensor
    sums: Tensor

    def __init__(self, vectors: Tensor) -> None:
        """Raises UsageError unless vectors is [M, D] with at least one code."""
        super().__init__()
        self.vectors = nn.Parameter(_table(vectors))
        self.register_buffer("counts", vectors.new_ones(len(vectors)))
        self.register_buffer("sums", _table(vectors))

    def _apply(self, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Averages in half precision stop moving, so the codebook of a model in half precision stays in float32."""
        return super()._apply(kept_wide(convert), recurse)

    @classmethod
    def random(cls, codes: int, width: int, like: Tensor) -> Self:
        """Standard normal vectors on the device and in the dtype of `like`.

        They are drawn on the CPU from a fixed seed, so that they are the same every time and on every device. Raises
        UsageError unless there is at least one code of at least one number.
        """
        if codes < 1 or width < 1:
            raise UsageError(f"a codebook needs at least one code of at least one number; give codes >= 1, got {codes}")
        vectors = torch.randn(codes, width, generator=torch.Generator().manual_seed(0), device="cpu")
        return cls(like.new_empty(codes, width).copy_(vectors))

    @torch.no_grad()
    def move(self, points: Tensor, codes: Tensor, decay: float, eps: float) -> None:
        """N_k <- γ N_k + (1 - γ) n_k, m_k <- γ m_k + (1 - γ) Σ_{points of code k} e, c_k = m_k / N'_k,

        with N'_k = (N_k + ε) / (Σ N + M ε) Σ N, Laplace-smoothed, so that an unused code does not divide by 0.
        points [P, D], codes [P]; points that are not finite count for nothing.
        """
        for average, batch in zip((self.counts, self.sums), tally(points, codes, len(self.counts)), strict=True):
            average.mul_(decay).add_(batch.to(average.dtype), alpha=1 - decay)
        total = self.counts.sum()
        smoothed = (self.counts + eps).mul_(total / (total + len(self.counts) * eps))
        torch.div(self.sums, smoothed.unsqueeze(-1), out=self.vectors)

    @torch.no_grad()
    def revive(self, candidates: Tensor, below: float) -> None:
        """Put candidates [M, D] in place of the codes whose count N_k is below a threshold, each with a count of 1.

        A candidate that is not finite replaces nothing.
        """
        dead = (self.counts < below) & candidates.isfinite().all(-1)
        self.counts.masked_fill_(dead, 1.0)
        for table in (self.sums, self.vectors):
            table.copy_(torch.where(dead.unsqueeze(-1), candidates, table))

    @torch.no_grad()
    def start_at(self, points: Tensor, iterations: int, generator: Generator | None) -> None:
        """Start at Lloyd's k-means on points [P, D], begun at M of them chosen at random; an empty cluster stays put.

        Points that are not finite are left out. Raises UsageError if there are fewer than M others.
        """
        points = points[points.isfinite().all(-1)]
        if len(points) < len(self.vectors):
            raise UsageError(f"k-means of {len(self.vectors)} codes needs as many finite encodings, got {len(points)}")
        order = torch.randperm(len(points), generator=generator, device=points.device)
        centres = points[order[: len(self.vectors)]]
        for _ in range(iterations):
            codes = nearest(points, centres)
            sizes, sums = tally(points, codes, len(centres))
            sizes = sizes.unsqueeze(-1)
            centres = torch.where(sizes > 0, (sums / sizes).to(centres.dtype), centres)
        self.counts.fill_(1.0)
        for table in (self.sums, self.vectors):
            table.copy_(centres)


class LinearCodebook(nn.Module):
    """c_k = b_k W with frozen random b [M, D] and learned W [D, D], which starts at the identity: SimVQ's codebook.

    Any gradient moves all codes, so that none dies.
    """

    family: ClassVar[str] = "linear-codebook"
    base: Tensor

    def __init__(self, base: Tensor) -> None:
        super().__init__()
        self.register_buffer("base", _table(base))
        self.map = nn.Parameter(torch.eye(base.shape[1], dtype=base.dtype, device=base.device))

    def _apply(self, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """As for `Codebook`."""
        return super()._apply(kept_wide(convert), recurse)

    @classmethod
    def random(cls, codes: int, width: int, like: Tensor) -> Self:
        """With the vectors of `Codebook.random` as base."""
        return cls(Codebook.random(codes, width, like).vectors)

    @property
    def vectors(self) -> Tensor:
        return self.base @ self.map


CODEBOOKS: dict[str, type[Codebook] | type[LinearCodebook]] = {book.family: book for book in (Codebook, LinearCodebook)}


def _table(vectors: Tensor) -> Tensor:
    """A copy of vectors [M, D]. Raises UsageError if they have another shape or are empty."""
    if vectors.dim() != 2 or not vectors.numel():
        raise UsageError(f"a codebook is [codes, width] with at least one code, got shape {list(vectors.shape)}")
    return vectors.detach().clone()
