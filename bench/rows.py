"""The row: one measured number with its unit, interval and status. Every table and figure is a function of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA = 1
OWN = " (own)"
"""Suffix of a group whose bias is measured against the gradient of the estimator's own relaxed objective."""
RELAXED = "own-relaxed"
"""The `Claim.target` of an estimator whose claim about its bias refers to that relaxed objective."""

NOT_APPLICABLE = "not applicable"
"""The status of the variance of a deterministic estimator, which has no variance to measure."""

IDENTITY = ("estimator", "family", "task", "data", "seed", "source", "device")
MEASUREMENT = (
    "collector",
    "group",
    "step",
    "metric",
    "unit",
    "direction",
    "value",
    "n",
    "se",
    "lo",
    "hi",
    "blocks",
    "status",
    "reason",
    "tuned_steps",
)
COLUMNS = (*IDENTITY, *MEASUREMENT)

Row = dict[str, Any]


@dataclass(frozen=True)
class Quantity:
    """A number with its standard error and 95 % interval; NaN where there is none."""

    value: float
    se: float = float("nan")
    lo: float = float("nan")
    hi: float = float("nan")


def row(
    metric: str,
    quantity: Quantity | float,
    n: int,
    *,
    unit: str = "",
    direction: str = "none",
    group: str = "",
    step: int = 0,
    blocks: list[float] | None = None,
    status: str = "ok",
    reason: str = "",
) -> Row:
    """A measured row, without the identity of its cell.

    n: the number of samples behind the quantity. direction: which is better, "lower", "higher" or "none". blocks:
    values per block, for paired comparisons between runs.
    """
    if not isinstance(quantity, Quantity):
        quantity = Quantity(float(quantity))
    measured = dict(metric=metric, unit=unit, direction=direction, group=group, step=step, n=n, blocks=blocks)
    return measured | vars(quantity) | {"status": status, "reason": reason}


def outcome(status: str, reason: str) -> Row:
    """The row that records how a cell ended, when it did not end `ok`."""
    return row("", float("nan"), 0, status=status, reason=reason)
