"""Bias and variance of an estimator scaled to the length of the exact gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import Quantity, Row, row
from ..sources.enumeration.enumerated import Enumerated
from .collector import Collector

EPSILON = float(np.finfo(np.float32).eps)


class Scaled(Collector):
    """`bias_sq_scaled` |s E g - ∇|² and `var_scaled` s² tr Var g with s = |∇| / |E g|, which no learning rate changes.

    `blocks` holds the estimates from the draws of each block, which the noise of these draws biases upwards; the value
    is the estimate from all blocks together. The interval says what rounding does to whoever computes in float32: K
    units of the last place of the root mean square of g for K configurations, the bound of two sums of K terms, which
    are a gradient and its average over z (Higham 2002, section 3.1).
    """

    name = "scaled"
    source = "enumeration"

    def rows(self, measured: Enumerated) -> Iterator[Row]:
        n = measured.draws * measured.configurations * len(measured.mean)
        exact, rounding = measured.exact, measured.configurations * EPSILON
        of_all = scaled(measured.mean.mean(0), measured.square.mean(), exact, rounding)
        of_blocks = [scaled(*block, exact, rounding) for block in zip(measured.mean, measured.square, strict=True)]
        for k, metric in enumerate(("bias_sq_scaled", "var_scaled")):
            blocks = [block[k].value for block in of_blocks]
            yield row(metric, of_all[k], n, direction="lower", group="cut", step=measured.draws, blocks=blocks)


def scaled(mean: np.ndarray, square: float, exact: np.ndarray, rounding: float) -> tuple[Quantity, Quantity]:
    """The squared bias and the variance of a gradient with this mean and mean square; `rounding` is relative."""
    scale = float(np.linalg.norm(exact) / np.linalg.norm(mean))
    error = rounding * scale * float(np.sqrt(square))
    bias, variance = float(np.linalg.norm(scale * mean - exact)), float(scale**2 * (square - mean @ mean))
    about = 2 * scale * float(np.sqrt(square)) * error
    return (
        Quantity(bias**2, lo=max(0.0, bias - error) ** 2, hi=(bias + error) ** 2),
        Quantity(variance, lo=variance - about, hi=variance + about),
    )
