"""Bias and variance of an estimator scaled to the length of the exact gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import Row, row
from ..sources.enumeration.enumerated import Enumerated
from .collector import Collector


class Scaled(Collector):
    """`bias_sq_scaled` |s E g - ∇|² and `var_scaled` s² tr Var g with s = |∇| / |E g|, which no learning rate changes.

    `blocks` holds the estimates from the draws of each block, which the noise of these draws biases upwards; the value
    is the estimate from all blocks together.
    """

    name = "scaled"
    source = "enumeration"

    def rows(self, measured: Enumerated) -> Iterator[Row]:
        exact, n = measured.exact, measured.draws * measured.configurations
        total = n * len(measured.mean)
        of_all = scaled(measured.mean.mean(0), measured.square.mean(), exact)
        of_blocks = zip(*map(lambda m, s: scaled(m, s, exact), measured.mean, measured.square), strict=True)
        for metric, value, blocks in zip(("bias_sq_scaled", "var_scaled"), of_all, of_blocks, strict=True):
            yield row(
                metric, value, total, direction="lower", group="cut", step=measured.draws, blocks=list(map(float, blocks))
            )


def scaled(mean: np.ndarray, square: float, exact: np.ndarray) -> tuple[float, float]:
    """The squared bias and the variance of a gradient with this mean and mean square."""
    scale = np.linalg.norm(exact) / np.linalg.norm(mean)
    return float(np.sum((scale * mean - exact) ** 2)), float(scale**2 * (square - mean @ mean))
