"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator

from .. import statistics as st
from ..rows import Row, row
from ..training import Point
from .collector import Collector

LOWER = ("var_cut", "var_encoder")


class Training(Collector):
    """Bounds (nats, over images) and gradient variance (over draws) along training, and the seconds spent training."""

    name = "training"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for point in measured:
            for metric, samples in point.metrics.items():
                lower = metric in LOWER
                unit, direction = ("", "lower") if lower else ("nats", "higher")
                figure = st.mean(samples)
                yield row(metric, figure, len(samples), unit=unit, direction=direction, step=point.step)
            yield row("seconds", point.seconds, 1, unit="s", direction="lower", step=point.step)
