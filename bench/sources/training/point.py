"""Points along the training of a model, where it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Point:
    """One evaluation during training.

    seconds: training time so far, without evaluations. metrics: each metric's samples over images or draws, or its
    Quantity. evaluations: of f so far, per data point of a minibatch. images: at the last point, the images that the
    task shows of the model, each [images, 784]. basket: estimator name -> what `Basket` measured.
    """

    step: int
    seconds: float
    metrics: dict[str, Any]
    evaluations: int = 0
    images: dict[str, np.ndarray] = field(default_factory=dict)
    basket: dict[str, dict[str, Any] | str] = field(default_factory=dict)


class Diverged(Exception):
    """The loss or a parameter became NaN or infinite, or the loss is not defined any more; `points` holds the curve so
    far."""

    def __init__(self, step: int, points: list[Point], reason: str) -> None:
        super().__init__(f"by step {step}, {reason}")
        self.points = points
