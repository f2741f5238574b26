"""The inner products of an estimator's mean and of the exact gradient, without the bias that noise gives to squares.

docs/statistics.md derives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ..rows import Quantity
from .intervals import t_quantile
from .jackknife import jackknife_variance

if TYPE_CHECKING:
    from .moments import Moments

BLOCKS, FEWEST = 64, 4


@dataclass(frozen=True)
class Products:
    """Of draws g and the exact gradient ∇: `along` <E g, ∇> and its square, |∇|², |E g|², and the variance tr Cov g.

    Each is an array [1 + blocks + R]: its unbiased estimate, then the estimates with each of the blocks of draws left
    out, then, where ∇ is itself a mean of draws, with each of their R blocks left out. Any function of the arrays is
    then such an array too, and `quantity` gives its interval. n: the number of draws.
    """

    n: int
    blocks: int
    along: np.ndarray
    along_squared: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of_draws(cls, draws: np.ndarray, exact: np.ndarray | None = None, reference: np.ndarray | None = None) -> Self:
        """From gradient draws [n, D] and either the exact gradient [D] or draws [m, D] whose mean it is.

        The reference must be independent of the draws. From 128 draws on, they are averaged in 64 blocks, and the last
        n mod 64 are left out. Raises ValueError for fewer than four draws.
        """
        assert (exact is None) != (reference is None), "either the exact gradient or a reference"
        means, squares, n = _blocked(draws)
        if exact is not None:
            return cls._of_blocks(n, means, squares, exact.astype(np.float64)[None], known=True)
        assert reference is not None
        return cls._of_blocks(n, means, squares, _blocked(reference)[0], known=False)

    @classmethod
    def of_moments(cls, moments: Moments, exact: np.ndarray) -> Self:
        """From moments whose draws were seen one by one (`block_spread` is not None), and the exact gradient [D]."""
        return cls._of_blocks(moments.n, moments.block_means, _squares(moments), exact[None], known=True)

    @classmethod
    def of_two(cls, moments: Moments, reference: Moments) -> Self:
        """The same where ∇ is the mean of independent draws, given by their moments."""
        return cls._of_blocks(moments.n, moments.block_means, _squares(moments), reference.block_means, known=False)

    @classmethod
    def of_blocks(cls, n: int, along: np.ndarray, mean: np.ndarray, variance: np.ndarray, gradient: float) -> Self:
        """From what `per_block` gave for the three products [blocks], and |∇|² of a known gradient."""
        squared, known = _pairs(along[:, None], known=True), np.full(1 + len(along), gradient)
        return cls(n, len(along), _left_out(along), squared, known, _left_out(mean), _left_out(variance))

    @classmethod
    def _of_blocks(cls, n: int, means: np.ndarray, squares: np.ndarray, reference: np.ndarray, known: bool) -> Self:
        """means [B, D] and mean squared lengths [B] of blocks of draws; reference [R, D], or the known one [1, D]."""
        across = means @ reference.T
        blocks, others = len(means), 0 if known else len(reference)
        along = _without_each(across, known)
        mean = _squared_mean(means)
        mean = np.append(mean, np.full(others, mean[0]))
        second = np.append(_left_out(squares), np.full(others, squares.mean()))
        if known:
            gradient = np.full(1 + blocks, float(reference[0] @ reference[0]))
        else:
            own = _squared_mean(reference)
            gradient = np.concatenate([np.full(1 + blocks, own[0]), own[1:]])
        return cls(n, blocks, along, _pairs(across, known), gradient, mean, second - mean)

    def per_block(self, product: np.ndarray) -> np.ndarray:
        """The pseudo-values of the blocks [blocks], whose mean is the estimate and from which it can be rebuilt."""
        return self.blocks * product[0] - (self.blocks - 1) * product[1 : 1 + self.blocks]

    def quantity(self, statistic: np.ndarray) -> Quantity:
        """A statistic [1 + blocks + R] of the products, with its jackknife error and 95 % interval."""
        value, se = float(statistic[0]), float(np.sqrt(sum(map(jackknife_variance, self.left_out(statistic)))))
        half = t_quantile(0.025, self.degrees) * se
        return Quantity(value, se, value - half, value + half)

    def left_out(self, statistic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A statistic's values with each block of draws left out [blocks], and with each of the reference's [R].

        Their jackknife variances add, because the reference is independent of the draws.
        """
        return statistic[1 : 1 + self.blocks], statistic[1 + self.blocks :]

    @property
    def degrees(self) -> int:
        """Degrees of freedom of an interval: of the smaller of the two sets of blocks."""
        others = len(self.along) - 1 - self.blocks
        return min(self.blocks, others or self.blocks) - 1


def _blocked(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Means [B, D] and mean squared lengths [B] of equal blocks of draws [n, D], and how many draws they hold."""
    n = len(draws)
    if n < FEWEST:
        raise ValueError(f"{n} gradient draws are too few to estimate an error from; draw at least {FEWEST}")
    blocks = n if n < 2 * BLOCKS else BLOCKS
    kept = n - n % blocks
    parts = draws[:kept].astype(np.float64).reshape(blocks, kept // blocks, -1)
    return parts.mean(1), np.einsum("bnd,bnd->b", parts, parts) / parts.shape[1], kept


def _squares(moments: Moments) -> np.ndarray:
    """The mean squared length of the draws of each block, [B]."""
    assert moments.block_spread is not None
    return moments.block_spread + (moments.block_means**2).sum(1)


def _left_out(parts: np.ndarray) -> np.ndarray:
    """The mean of parts [B], then the means without each of them, [1 + B]."""
    total = parts.sum()
    return np.append(total / len(parts), (total - parts) / (len(parts) - 1))


def _without_each(across: np.ndarray, known: bool) -> np.ndarray:
    """The mean of across [B, R], then without each row and, unless the column is known, without each column."""
    rows = _left_out(across.mean(1))
    return rows if known else np.append(rows, _left_out(across.mean(0))[1:])


def _squared_mean(means: np.ndarray) -> np.ndarray:
    """|E x|² as the mean of <x_i, x_j> over pairs i ≠ j of the B rows of means, then without each row, [1 + B]."""
    blocks, total, own = len(means), means.sum(0), (means**2).sum(1)
    length = float(total @ total)
    without = length - 2 * means @ total + own
    pairs = np.append(length - own.sum(), without - (own.sum() - own))
    return pairs / np.append(blocks * (blocks - 1), np.full(blocks, (blocks - 1) * (blocks - 2)))


def _pairs(across: np.ndarray, known: bool) -> np.ndarray:
    """<E x, E y>² from across_ik = <x_i, y_k> [B, R]: the mean of across_ik across_jl over i ≠ j and k ≠ l.

    Then without each row and without each column, [1 + B + R]; a known y is the only column, and l = k there.
    """
    without_rows = _without_each_row(across, known)
    return without_rows if known else np.append(without_rows, _without_each_row(across.T, known)[1:])


def _without_each_row(across: np.ndarray, known: bool) -> np.ndarray:
    """That mean, then without each row: by inclusion and exclusion of the sums over rows and columns, [1 + B]."""
    blocks, others = across.shape
    rows, columns, own = across.sum(1), across.sum(0), (across**2).sum(1)
    total = np.append(rows.sum(), rows.sum() - rows)
    same_row = np.append(rows @ rows, rows @ rows - rows**2)
    left = np.append(blocks, np.full(blocks, blocks - 1))
    if known:
        return (total**2 - same_row) / (left * (left - 1))
    same_column = columns @ columns - np.append(0.0, 2 * across @ columns - own)
    same_entry = np.append(own.sum(), own.sum() - own)
    return (total**2 - same_row - same_column + same_entry) / (left * (left - 1) * others * (others - 1))
