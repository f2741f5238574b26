"""Bias against the exact gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import OWN, RELAXED, Row, row
from ..sources.draws.draws import Draws
from ..statistics import bias_test as ub
from ..statistics import intervals as st
from .collector import Collector

NAMED = 8
RARE = "rare events: too few of the {} draws carry the mean; a larger preset draws more"
INFINITE = "the estimator claims no finite variance, so the mean of its draws has no standard error to test with"


class Bias(Collector):
    """Bias of each group with an exact gradient, its test, its smallest detectable size and the biased coordinates.

    The smallest detectable bias, along the gradient and in a random direction, is given for estimators that draw
    something. Groups ending in "(own)" are the same draws against the exact gradient of the estimator's own relaxed
    objective, where it is known.
    """

    name = "bias"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        f_scale = float(measured.moments["value"].rms.max())
        for group, (moments, exact) in measured.judged.items():
            n = moments.n
            norm, size = st.bias_norm(moments, exact), float(np.linalg.norm(exact))
            relative = (
                st.Quantity(*(x / size for x in (norm.value, norm.se, norm.lo, norm.hi)))
                if size
                else st.Quantity(np.nan)
            )
            yield row("gradient_norm", size, n, group=group)
            yield row("bias_norm", norm, n, direction="lower", group=group)
            yield row("bias_rel", relative, n, direction="lower", group=group)
            yield row("bias_sq", st.bias_squared(moments, exact), n, direction="lower", group=group)
            p = ub.bias_p_value(moments, exact, f_scale) if measured.finite_variance(group) else float("nan")
            reason = RARE.format(n) if measured.finite_variance(group) else INFINITE
            status, reason = ("not testable", reason) if np.isnan(p) else ("ok", "")
            yield row("bias_p", p, n, group=group, status=status, reason=reason)
            claimed = measured.claim.unbiased and (measured.claim.target != RELAXED or group.endswith(OWN))
            yield row("claims_unbiased", float(claimed), n, group=group)
            if measured.claim.random:
                detectable = ub.smallest_detectable_bias(moments, exact, f_scale)
                yield row("bias_sdb", detectable, n, direction="lower", group=group)
                anywhere = ub.detectable_anywhere(moments, exact, f_scale)
                yield row("bias_sdb_any", anywhere, n, direction="lower", group=group)
            if p <= ub.ALPHA:
                found = ub.biased_coordinates(moments, exact, f_scale)
                named = ", ".join(map(str, found[:NAMED])) + (", ..." if len(found) > NAMED else "")
                yield row("biased_coordinates", len(found), n, direction="lower", group=group, reason=named)
