"""Variance of one gradient draw."""

from __future__ import annotations

from collections.abc import Iterator

from .. import statistics as st
from ..draws import Draws
from ..rows import Row, row
from .collector import Collector


class Variance(Collector):
    """The trace of the covariance of one draw, with its interval and block totals, and the mean over coordinates."""

    name = "variance"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        for group, moments in measured.moments.items():
            spread = None if moments.block_spread is None else moments.block_spread.tolist()
            total = st.total_variance(moments)
            yield row("var_total", total, moments.n, direction="lower", group=group, blocks=spread)
            scaled = st.Figure(*(x / len(moments.mean) for x in (total.value, total.se, total.lo, total.hi)))
            yield row("var_mean", scaled, moments.n, direction="lower", group=group)
