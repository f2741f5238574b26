"""The error that is left of a gradient after the best constant, at equal budget; docs/statistics.md derives it.

Each function returns an array like those of `Products`: the estimate, then the estimates with each block left out.
"""

from __future__ import annotations

import numpy as np

from ..rows import Quantity
from ..statistics.products import Products

ROUNDING = 1e-5
"""Errors below this fraction of the gradient are float32 rounding."""


def squared_error(products: Products, draws: float) -> np.ndarray:
    """min_c E|c ḡ - ∇|² / |∇|² = 1 - <E g, ∇>² / (|∇|² (|E g|² + V/m)) of the mean ḡ of m draws.

    Noise can put its estimate below 0 and above 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = products.along_squared / (products.gradient * (products.mean + products.variance / draws))
    return 1 - np.where(np.isfinite(kept), kept, 0.0)  # a zero gradient and a zero mean leave all of the error


def scale(products: Products) -> np.ndarray:
    """<E g, ∇> / |∇|²: 1 without a bias in scale; an interval that includes 0 is that of no gradient."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return products.along / products.gradient


def root(squared: Quantity) -> Quantity:
    """The error with its interval from those of its square, within [0, 1]."""
    value, lo, hi = (float(np.sqrt(min(1.0, max(0.0, x)))) for x in (squared.value, squared.lo, squared.hi))
    return Quantity(value, squared.se / (2 * value) if value else float("nan"), lo, hi)
