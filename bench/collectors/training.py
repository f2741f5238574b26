"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator

from .. import statistics as st
from ..rows import Row, row
from ..training import Point
from .collector import Collector

NATS = {"elbo": "higher", "iw": "higher", "gap": "lower", "reconstruction": "lower", "loss": "lower", "kl": "none"}
LOWER = ("var_cut", "var_encoder", "var_ema", "bias_reference")
SPLITS = ("_train", "_test", "_valid")


class Training(Collector):
    """What the task reports of images (nats, over images), gradient variance (over draws), bias against the reference,
    and training seconds."""

    name = "training"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for point in measured:
            for metric, samples in point.metrics.items():
                unit, direction = unit_and_direction(metric)
                figure, n = (samples, 1) if isinstance(samples, st.Figure) else (st.mean(samples), len(samples))
                yield row(metric, figure, n, unit=unit, direction=direction, step=point.step)
            yield row("seconds", point.seconds, 1, unit="s", direction="lower", step=point.step)


def unit_and_direction(metric: str) -> tuple[str, str]:
    """Of a figure of images by its name without the split, else of a variance or bias."""
    for split in SPLITS:
        name = metric.removesuffix(split)
        if name in NATS:
            return "nats", NATS[name]
    return "", "lower" if metric in LOWER else "none"
