"""The jackknife."""

from __future__ import annotations

from typing import Any

import numpy as np


def jackknife_variance(left_out: np.ndarray) -> Any:
    """The variance of a statistic from its m values θ_i with observation i left out: (m - 1)/m Σ (θ_i - mean θ)².

    left_out: [..., m] -> [...], a number for a single statistic. 0 for m = 0: what rests on no observations has no
    noise.
    """
    m = left_out.shape[-1]
    if m == 0:
        return np.zeros(left_out.shape[:-1])
    return (m - 1) / m * ((left_out - left_out.mean(-1, keepdims=True)) ** 2).sum(-1)
