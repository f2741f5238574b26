"""Bias and variance by enumeration, without the noise of draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import Quantity, Row, row
from ..sources.enumeration.enumerated import Enumerated
from .collector import Collector


class ExactMoments(Collector):
    """`bias_exact` |E g - ∇| / |∇|, `scale_exact` c = <E g, ∇> / |∇|², `bend_exact` |E g - c ∇| / |c ∇| and `var_exact`
    tr Cov g, each of all blocks together; `scale_of_point_exact` is c of each data point, in the order of `step`.

    Exact for estimators that draw z alone; the rest is a mean over draws, whose blocks the collector `scaled` keeps.
    """

    name = "exact-moments"
    source = "enumeration"

    def rows(self, measured: Enumerated) -> Iterator[Row]:
        n = measured.draws * measured.configurations * len(measured.mean)
        mean, exact = measured.mean.mean(0), measured.exact
        c, length = along(mean, exact), float(np.linalg.norm(exact))
        for metric, value in (
            ("bias_exact", np.linalg.norm(mean - exact) / length),
            ("scale_exact", c),
            ("bend_exact", np.linalg.norm(mean - c * exact) / (abs(c) * length)),
            ("var_exact", measured.square.mean() - mean @ mean),
        ):
            yield row(
                metric, Quantity(float(value)), n, direction="lower" if metric == "var_exact" else "none", group="cut"
            )
        if measured.points > 1:
            parts = zip(np.split(mean, measured.points), np.split(exact, measured.points), strict=True)
            for point, (own, part) in enumerate(parts):
                yield row("scale_of_point_exact", along(own, part), n, group="cut", step=point)


def along(mean: np.ndarray, exact: np.ndarray) -> float:
    """c = <E g, ∇> / |∇|²."""
    return float(mean @ exact / (exact @ exact))
