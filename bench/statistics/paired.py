"""Ratios of variances measured block by block under common random numbers."""

from __future__ import annotations

import numpy as np

from .jackknife import jackknife_variance


def paired_log_ratio(base: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """log(mean new / mean base) over m pairs of blocks, base [m] and new [m], and its jackknife standard error.

    Blocks drawn from the same random streams are correlated, which the jackknife over pairs takes into account.
    """
    left_out = np.log((new.sum() - new) / (base.sum() - base))
    return float(np.log(new.sum() / base.sum())), float(np.sqrt(jackknife_variance(left_out)))
