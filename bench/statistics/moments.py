"""Streaming moments of gradient draws in constant memory, kept per block so that any interval can be recomputed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Moments of n draws of a D-dimensional gradient, all float64.

    mean, variance: of one draw, [D]. block_means: means of equal blocks of consecutive draws, [blocks, D].
    block_spread: each block's mean squared distance from the mean of the block, [blocks]; None where draws were only
    seen as sums. summed: the number of draws added up in their own dtype before float64 took over.
    kurtosis: E q² / (E q)² of q = ||g - E g||², which is the usual kurtosis for one coordinate. peak: the share of the
    largest q in the sum of all. cosine and directional_snr: means over draws of cos(g, u) and |g_∥| / |g_⊥| for a given
    direction u, each with its standard error; NaN without a direction.
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

    It expects blocks x per_block draws in all. direction: a unit vector [D] to compare each draw with, if any.
    """

    largest: Tensor
    fourth: Tensor

    def __init__(self, blocks: int, per_block: int, direction: Tensor | None = None) -> None:
        self.blocks, self.per_block, self.direction = blocks, per_block, direction
        self.n, self.summed = 0, 1

    def add(self, draws: Tensor) -> None:
        """Add draws [chunk, D]. A chunk must not cross the end of a block of `per_block` draws."""
        count = len(draws)
        centre = draws.mean(0)
        deviation = draws - centre
        centre = centre.double() + deviation.mean(0)  # which corrects the rounding of the mean in the draws' dtype
        self._start(centre, apart=True)
        if self.direction is not None:
            self._compare(draws, self.direction)
        squares = deviation.square_()
        distance = squares.sum(1).double() * (count / max(1, count - 1))
        self.fourth += distance.square().sum()
        self.largest = torch.maximum(self.largest, distance.max())
        within = squares.sum(0, dtype=torch.float64)
        block, before = self.n // self.per_block, self.n % self.per_block
        if before:
            shift = centre - self.sums[block] / before
            self.spread[block] += shift.square().sum() * (before * count / (before + count))
        self.spread[block] += within.sum()
        self.squares += within + (centre - self.mean).square() * (self.n * count / (self.n + count))
        self._merge(count, centre)

    def add_sum(self, total: Tensor, count: int) -> None:
        """Add the sum [D] of `count` draws whose single values are not known."""
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
        # 1e-12 keeps the ratio of a draw along u finite, at 1e6
        ratio = along.abs() / ((norm2 - along.square()).clamp_min(0) + 1e-12 * norm2 + tiny).sqrt()
        scalars = torch.stack([cosine, ratio])
        self.compared += torch.stack([scalars.sum(1), scalars.square().sum(1)])

    def _merge(self, count: int, centre: Tensor) -> None:
        self.sums[self.n // self.per_block] += centre * count
        self.mean = self.mean + (centre - self.mean) * (count / (self.n + count))
        self.n += count

    def finish(self) -> Moments:
        """The moments, on the CPU. There must be at least two blocks, all of them full."""
        assert self.n == self.blocks * self.per_block
        mean, means = self.mean.cpu().numpy(), (self.sums / self.per_block).cpu().numpy()
        if not self.apart:
            return Moments(self.n, mean, self.per_block * means.var(0, ddof=1), means, None, self.summed)
        variance = (self.squares / (self.n - 1)).cpu().numpy()
        total = float(variance.sum())
        nothing = (float("nan"), float("nan"))
        return Moments(
            self.n,
            mean,
            variance,
            means,
            (self.spread / self.per_block).cpu().numpy(),
            kurtosis=float(self.fourth) / self.n / total**2 if total else float("nan"),
            peak=float(self.largest) / self.n / total if total else float("nan"),
            cosine=nothing if self.direction is None else self._scalar(0),
            directional_snr=nothing if self.direction is None else self._scalar(1),
        )

    def _scalar(self, which: int) -> tuple[float, float]:
        """The mean over draws of the cosine (0) or the directional SNR (1), and its standard error."""
        total, squares = (float(part) for part in self.compared[:, which])
        mean = total / self.n
        return mean, float(np.sqrt(max(0.0, squares / self.n - mean**2) / self.n))
