"""Ratios of variances measured block by block under common random numbers."""

from __future__ import annotations

import numpy as np


def paired_log_ratio(base: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """log(mean new / mean base) over m pairs of blocks, and its jackknife standard error.

    Blocks drawn from the same streams move together, which the jackknife over pairs takes into account.
    """
    m = len(base)
    left_out = np.log((new.sum() - new) / (base.sum() - base))
    se = np.sqrt((m - 1) / m * ((left_out - left_out.mean()) ** 2).sum())
    return float(np.log(new.sum() / base.sum())), float(se)
