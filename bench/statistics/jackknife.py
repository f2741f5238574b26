"""The jackknife."""

from __future__ import annotations

import numpy as np


def jackknife_variance(left_out: np.ndarray) -> float:
    """The variance of a statistic from its m values θ_i with observation i left out: (m - 1)/m Σ (θ_i - mean θ)².

    0 for m = 0: what rests on no observations has no noise.
    """
    m = len(left_out)
    if m == 0:
        return 0.0
    return float((m - 1) / m * ((left_out - left_out.mean()) ** 2).sum())
