"""Bias and variance of the basket along training."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..rows import Row, row
from ..sources.training.point import Point
from ..statistics import intervals as st
from .collector import Collector


class Basket(Collector):
    """`var_cut`, `var_encoder`, `bias_reference` and `bias_encoder` of the basket's estimators at every point.

    Variances are over draws; the group is the estimator's name.
    """

    name = "basket"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for point in measured:
            for group, found in point.basket.items():
                if isinstance(found, str):
                    yield row("var_cut", math.nan, 0, group=group, step=point.step, status="unsupported", reason=found)
                    continue
                for metric, samples in found.items():
                    quantity, n = (samples, 1) if isinstance(samples, st.Quantity) else (st.mean(samples), len(samples))
                    yield row(metric, quantity, n, direction="lower", group=group, step=point.step)
