"""Is the mean of the draws the exact gradient up to one constant? The constant, and the test of the direction.

`moments` and `exact` are as in `bias_test`. A learning rate absorbs a constant c > 0 that all data points share; of
constants that differ between data points it absorbs the mean alone, and the joint gradient is bent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..rows import Quantity
from .bias_test import bias_p_value
from .intervals import t_quantile

if TYPE_CHECKING:
    from .moments import Moments


def scale(moments: Moments, exact: np.ndarray) -> Quantity:
    """c = <E g, ∇> / |∇|², the constant by which the mean gradient is too long, with Student's interval over blocks."""
    along = moments.block_means @ exact / (exact @ exact)
    se = float(along.std(ddof=1) / np.sqrt(len(along)))
    value, half = float(along.mean()), t_quantile(0.025, len(along) - 1) * se
    return Quantity(value, se, value - half, value + half)


def scales_of_points(moments: Moments, exact: np.ndarray, points: int) -> list[Quantity]:
    """`scale` of every data point, whose equal parts of the gradient stand one after the other."""
    parts = zip(np.split(moments.block_means, points, 1), np.split(exact, points), strict=True)
    return [scale(replace(moments, block_means=means), part) for means, part in parts]


def bend_p_value(moments: Moments, exact: np.ndarray, f_scale: float) -> float:
    """p-value of the hypothesis that E g = c ∇ for some c, of either sign: `bias_p_value` of the block means without
    their part along ∇. That part is linear in the draws, so no c is estimated. NaN as there.
    """
    unit = exact / np.linalg.norm(exact)
    across = moments.block_means - np.outer(moments.block_means @ unit, unit)
    return bias_p_value(replace(moments, block_means=across), np.zeros_like(exact), f_scale)
