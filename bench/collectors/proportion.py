"""Whether the mean gradient is the exact one up to one constant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import OWN, Row, row
from ..sources.draws.draws import Draws
from ..statistics.proportion import bend_p_value, scale, scales_of_points
from .bias import INFINITE, RARE
from .collector import Collector


class Proportion(Collector):
    """`scale` c of E g = c ∇ and `bend_p`, the p-value of this hypothesis, for the gradients of more than one number.

    `scale_of_point` is c of each data point of the logits gradient, in the order of `step`, where there are several.
    """

    name = "proportion"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        f_scale = float(measured.moments["value"].rms.max())
        for group, (moments, exact) in measured.judged.items():
            if group.removesuffix(OWN) == "value" or len(exact) < 2 or not np.any(exact):
                continue
            n, finite = moments.n, measured.finite_variance(group)
            yield row("scale", scale(moments, exact), n, group=group)
            p = bend_p_value(moments, exact, f_scale) if finite else float("nan")
            reason = RARE.format(n) if finite else INFINITE
            status, reason = ("not testable", reason) if np.isnan(p) else ("ok", "")
            yield row("bend_p", p, n, group=group, status=status, reason=reason)
            if group == "cut" and measured.points > 1:
                for point, quantity in enumerate(scales_of_points(moments, exact, measured.points)):
                    yield row("scale_of_point", quantity, n, group=group, step=point)
