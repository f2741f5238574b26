"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator

from .. import statistics as st
from ..rows import Row, row
from ..training import Point
from .collector import Collector

LOWER = ("var_cut", "var_encoder", "var_ema", "bias_reference")


class Training(Collector):
    """Bounds (nats, over images), gradient variance (over draws), bias against the reference, and training seconds."""

    name = "training"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for point in measured:
            for metric, samples in point.metrics.items():
                unit, direction = ("", "lower") if metric in LOWER else ("nats", "higher")
                figure, n = (samples, 1) if isinstance(samples, st.Figure) else (st.mean(samples), len(samples))
                yield row(metric, figure, n, unit=unit, direction=direction, step=point.step)
            yield row("seconds", point.seconds, 1, unit="s", direction="lower", step=point.step)
