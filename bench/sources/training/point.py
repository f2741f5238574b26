"""What is measured of a model along its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Point:
    """One evaluation along training: each metric's samples over images or draws, or its figure.

    seconds: of training. evaluations: of f for each data point of the minibatches so far. images: at the last point,
    what the task shows of the model, [images, 784]. basket: what `Basket` measured, by the names of its estimators.
    """

    step: int
    seconds: float
    metrics: dict[str, Any]
    evaluations: int = 0
    images: dict[str, np.ndarray] = field(default_factory=dict)
    basket: dict[str, dict[str, Any] | str] = field(default_factory=dict)


class Diverged(Exception):
    """The loss became NaN or infinite; `points` holds the curve so far."""

    def __init__(self, step: int, points: list[Point]) -> None:
        super().__init__(f"the loss was not finite by step {step}")
        self.points = points
