"""Holm's step-down test: many p-values at one family-wise false-alarm rate."""

from __future__ import annotations

import numpy as np

ALPHA = 1e-3
"""The false-alarm rate of every bias test, and of the family of all bias tests in a report."""


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values p̃_(i) = max_{j ≤ i} min(1, (m - j + 1) p_(j)); reject where p̃ ≤ alpha (Holm 1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, (p.size - np.arange(p.size)) * p[order]))
    return adjusted
