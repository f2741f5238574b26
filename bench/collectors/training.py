"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from ..rows import Row, row
from ..sources.training.point import Point
from ..statistics import intervals as st
from .collector import Collector

NATS = {
    "elbo": "higher",
    "target_elbo": "none",
    "iw": "higher",
    "gap": "lower",
    "reconstruction": "lower",
    "loss": "lower",
    "kl": "none",
    "log_z": "none",
    "log_z_gap": "none",
}
BITS = {"bits_per_dim": "lower"}
CODES = {"perplexity": "higher", "dead_codes": "lower", "distortion": "lower"}
SHARES = {"agreement": "higher"}
LOWER = ("negative_ratio", "var_cut", "var_encoder", "var_minibatch", "var_ema", "bias_reference")
SPLITS = ("_train", "_test", "_valid")


class Training(Collector):
    """The task's metrics of images, variance and bias of its gradient, decrease of the loss, and training seconds.

    Metrics of images are means over images, variances are over draws or minibatches, the bias is against the reference;
    the decrease of the loss is per step since the point before.
    """

    name = "training"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for before, point in zip([None, *measured], measured, strict=False):
            for metric, samples in point.metrics.items():
                unit, direction = unit_and_direction(metric)
                quantity, n = (samples, 1) if isinstance(samples, st.Quantity) else (st.mean(samples), len(samples))
                yield row(metric, quantity, n, unit=unit, direction=direction, step=point.step)
            if before is not None and "loss_train" in point.metrics:
                fallen = st.mean(np.asarray(before.metrics["loss_train"]) - np.asarray(point.metrics["loss_train"]))
                per_step = st.Quantity(*(x / (point.step - before.step) for x in astuple(fallen)))
                yield row("loss_decrease", per_step, 1, unit="nats", direction="higher", step=point.step)
            yield row("seconds", point.seconds, 1, unit="s", direction="lower", step=point.step)


def unit_and_direction(metric: str) -> tuple[str, str]:
    """The unit and direction of a metric of images, by its name without the split, or of a variance or bias."""
    for split in SPLITS:
        name = metric.removesuffix(split)
        for unit, directions in (("nats", NATS), ("bits", BITS), ("", CODES | SHARES)):
            if name in directions:
                return unit, directions[name]
    return "", "lower" if metric in LOWER else "none"
