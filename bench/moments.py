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
    """

    n: int
    mean: np.ndarray
    variance: np.ndarray
    block_means: np.ndarray
    block_spread: np.ndarray | None
    summed: int = 1

    @property
    def rms(self) -> np.ndarray:
        """The root mean square of one draw, [D]."""
        return np.sqrt(self.variance + self.mean**2)


class Accumulator:
    """Adds up draws chunk by chunk: centred in their own dtype, merged in float64 (Chan, Golub & LeVeque 1983)."""

    def __init__(self, blocks: int, rows: int) -> None:
        self.blocks, self.rows = blocks, rows
        self.n, self.summed = 0, 1

    def add(self, draws: Tensor) -> None:
        """Draws [chunk, D]. A chunk must not cross the end of a block of `rows` draws."""
        count = len(draws)
        centre = draws.mean(0)
        deviation = draws - centre
        centre = centre.double() + deviation.mean(0)
        squares = deviation.square_().sum(0, dtype=torch.float64)
        self._start(centre, apart=True)
        block, before = self.n // self.rows, self.n % self.rows
        if before:
            shift = centre - self.sums[block] / before
            self.spread[block] += shift.square().sum() * (before * count / (before + count))
        self.spread[block] += squares.sum()
        self.squares += squares + (centre - self.mean).square() * (self.n * count / (self.n + count))
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

    def _merge(self, count: int, centre: Tensor) -> None:
        self.sums[self.n // self.rows] += centre * count
        self.mean = self.mean + (centre - self.mean) * (count / (self.n + count))
        self.n += count

    def finish(self) -> Moments:
        """The moments, on the CPU. Needs at least two full blocks."""
        assert self.n == self.blocks * self.rows
        means = (self.sums / self.rows).cpu().numpy()
        if not self.apart:
            variance = self.rows * means.var(0, ddof=1)
            return Moments(self.n, self.mean.cpu().numpy(), variance, means, None, self.summed)
        variance = (self.squares / (self.n - 1)).cpu().numpy()
        return Moments(self.n, self.mean.cpu().numpy(), variance, means, (self.spread / self.rows).cpu().numpy())
