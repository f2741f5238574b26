"""How long training takes to reach an ELBO."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..rows import Quantity, Row, row
from ..sources.training.point import Point
from .collector import Collector


class Target(Collector):
    """`seconds_to_target` and `evaluations_to_target` (of f, per data point), spent until the test ELBO is reached.

    The value belongs to the first evaluated point whose mean test ELBO is at least `target_elbo`; its interval begins
    at the point before. If no point reaches the target, the row is `censored`: the value, all that was spent, is a
    lower bound. There are no rows without a target, or where the task reports no ELBO.
    """

    name = "target"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        curve = [p for p in measured if "target_elbo" in p.metrics and "elbo_test" in p.metrics]
        if not curve:
            return
        target = curve[0].metrics["target_elbo"].value
        reached = [k for k, point in enumerate(curve) if point.metrics["elbo_test"].mean() >= target]
        at = reached[0] if reached else len(curve) - 1
        for metric, unit, spent in (
            ("seconds_to_target", "s", [0.0, *(point.seconds for point in curve)]),
            ("evaluations_to_target", "", [0.0, *(float(point.evaluations) for point in curve)]),
        ):
            value = spent[at + 1]
            lo, hi = (spent[at], value) if reached else (value, math.inf)
            reason = "" if reached else f"the test ELBO did not reach {target:g} in {curve[-1].step} steps"
            quantity, status = Quantity(value, lo=lo, hi=hi), "ok" if reached else "censored"
            step = curve[at].step
            yield row(metric, quantity, 1, unit=unit, direction="lower", step=step, status=status, reason=reason)
