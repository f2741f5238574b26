"""Streaming moments of gradient draws in constant memory, kept by block so that any interval can be recomputed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Moments of n draws of a D-dimensional estimate, all float64.

    mean, variance: [D], of one draw. block_means: [blocks, D], means of equal blocks of consecutive draws.
    block_spread: [blocks], each block's mean squared distance from the block's mean; None where draws were only
    seen as sums. summed: how many draws were added up in their own dtype before float64 took over.
    kurtosis: E q² / (E q)² of q = ||g - E g||², the kurtosis itself for one coordinate. peak: the largest q's share of
    all. cosine and directional_snr: means over draws of cos(g, u) and |g_∥| / |g_⊥| for the direction u given, with
    their standard errors; NaN without one.
    """

    n: int
    mean: np.ndarray
    variance: np.ndarray
    block_means: np.ndarray
    block_spread: np.ndarray | None
    summed: int = 1
    kurtosis: float = float("nan")
    peak: float = float("nan")
    cosine: tuple[float, float] = (float("nan"), float("nan"))
    directional_snr: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def rms(self) -> np.ndarray:
        """The root mean square of one draw, [D]."""
        return np.sqrt(self.variance + self.mean**2)


class Accumulator:
    """Adds up draws chunk by chunk: centred in their own dtype, merged in float64 (Chan, Golub & LeVeque 1983).

    blocks x rows draws are expected in all. direction [D], if given: a unit vector to compare each draw with.
    """

    largest: Tensor
    fourth: Tensor

    def __init__(self, blocks: int, rows: int, direction: Tensor | None = None) -> None:
        self.blocks, self.rows, self.direction = blocks, rows, direction
        self.n, self.summed = 0, 1

    def add(self, draws: Tensor) -> None:
        """Draws [chunk, D]. A chunk must not cross the end of a block of `rows` draws."""
        count = len(draws)
        centre = draws.mean(0)
        deviation = draws - centre
        centre = centre.double() + deviation.mean(0)
        self._start(centre, apart=True)
        if self.direction is not None:
            self._compare(draws, self.direction)
        squares = deviation.square_()
        distance = squares.sum(1).double() * (count / max(1, count - 1))
        self.fourth += distance.square().sum()
        self.largest = torch.maximum(self.largest, distance.max())
        within = squares.sum(0, dtype=torch.float64)
        block, before = self.n // self.rows, self.n % self.rows
        if before:
            shift = centre - self.sums[block] / before
            self.spread[block] += shift.square().sum() * (before * count / (before + count))
        self.spread[block] += within.sum()
        self.squares += within + (centre - self.mean).square() * (self.n * count / (self.n + count))
        self._merge(count, centre)

    def add_sum(self, total: Tensor, count: int) -> None:
        """The sum [D] of `count` draws that were never seen apart."""
        centre = total.double() / count
        self._start(centre, apart=False)
        self.summed = max(self.summed, count)
        self._merge(count, centre)

    def _start(self, centre: Tensor, apart: bool) -> None:
        if self.n == 0:
            self.apart, self.mean, self.squares = apart, torch.zeros_like(centre), torch.zeros_like(centre)
            self.sums, self.spread = centre.new_zeros(self.blocks, len(centre)), centre.new_zeros(self.blocks)
            self.fourth, self.largest, self.compared = (
                centre.new_zeros(()),
                centre.new_zeros(()),
                centre.new_zeros(2, 2),
            )

    def _compare(self, draws: Tensor, direction: Tensor) -> None:
        along = (draws @ direction).double()
        norm2 = torch.linalg.vector_norm(draws, dim=1).double().square()
        tiny = torch.finfo(torch.float64).tiny
        cosine = along / (norm2 + tiny).sqrt()
        ratio = along.abs() / ((norm2 - along.square()).clamp_min(0) + 1e-12 * norm2 + tiny).sqrt()
        scalars = torch.stack([cosine, ratio])
        self.compared += torch.stack([scalars.sum(1), scalars.square().sum(1)])

    def _merge(self, count: int, centre: Tensor) -> None:
        self.sums[self.n // self.rows] += centre * count
        self.mean = self.mean + (centre - self.mean) * (count / (self.n + count))
        self.n += count

    def finish(self) -> Moments:
        """The moments, on the CPU. Needs at least two full blocks."""
        assert self.n == self.blocks * self.rows
        mean, means = self.mean.cpu().numpy(), (self.sums / self.rows).cpu().numpy()
        if not self.apart:
            return Moments(self.n, mean, self.rows * means.var(0, ddof=1), means, None, self.summed)
        variance = (self.squares / (self.n - 1)).cpu().numpy()
        total = float(variance.sum())
        nothing = (float("nan"), float("nan"))
        return Moments(
            self.n,
            mean,
            variance,
            means,
            (self.spread / self.rows).cpu().numpy(),
            kurtosis=float(self.fourth) / self.n / total**2 if total else float("nan"),
            peak=float(self.largest) / self.n / total if total else float("nan"),
            cosine=nothing if self.direction is None else self._scalar(0),
            directional_snr=nothing if self.direction is None else self._scalar(1),
        )

    def _scalar(self, which: int) -> tuple[float, float]:
        """The mean of a compared scalar over draws, and its standard error."""
        total, squares = (float(part) for part in self.compared[:, which])
        mean = total / self.n
        return mean, float(np.sqrt(max(0.0, squares / self.n - mean**2) / self.n))
