"""Variance of one gradient draw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import NOT_APPLICABLE, Row, row
from ..sources.draws.draws import Draws
from ..statistics import intervals as st
from .collector import Collector

HEAVY = "kurtosis {:.3g} and largest share {:.2g} of {} draws: no interval can be trusted"
FIXED = "the estimator draws nothing: its gradient at one data point is a constant, not an estimate of an expectation"
INFINITE = "the estimator claims no finite variance: this is the median of the blocks' variances, without interval"


class Variance(Collector):
    """Total variance (trace of the covariance, with interval and blocks); mean, mean log and maximum over coordinates.

    Also the kurtosis of the squared distance and the largest draw's share of it, which show whether to trust the
    interval.
    """

    name = "variance"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        for group, moments in measured.moments.items():
            if not measured.claim.random:
                yield row("var_total", float("nan"), moments.n, group=group, status=NOT_APPLICABLE, reason=FIXED)
                continue
            n, spread = moments.n, None if moments.block_spread is None else moments.block_spread.tolist()
            total, status, reason = st.total_variance(moments), "ok", ""
            if not measured.finite_variance(group):
                status, reason = "infinite variance", INFINITE
                total = st.Quantity(float(np.median(spread)) if spread else total.value)
            elif st.heavy_tailed(moments):
                status = "heavy-tailed, n too small"
                reason = HEAVY.format(moments.kurtosis, moments.peak, n)
            fate = {"status": status, "reason": reason}
            yield row("var_total", total, n, direction="lower", group=group, blocks=spread) | fate
            scaled = st.Quantity(*(x / len(moments.mean) for x in (total.value, total.se, total.lo, total.hi)))
            yield row("var_mean", scaled, n, direction="lower", group=group) | fate
            moving = moments.variance[moments.variance > 0]
            if len(moving):
                yield row("var_mean_log", float(np.log(moving).mean()), n, direction="lower", group=group)
                yield row("var_max", float(moving.max()), n, direction="lower", group=group)
            if np.isfinite(moments.kurtosis):
                yield row("kurtosis", moments.kurtosis, n, group=group)
                yield row("peak_share", moments.peak, n, group=group)
