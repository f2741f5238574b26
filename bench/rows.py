"""The row: one measured number with its unit, interval and status. Everything shown is a function of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA = 1
OWN = " (own)"
"""Ends the name of a group whose bias is against the gradient of the method's own relaxed objective."""
RELAXED = "own-relaxed"
"""The `Claim.target` of such a method: what it says of its bias it says of that group."""

NOT_APPLICABLE = "not applicable"
"""The status of a variance that there is none of: the method draws nothing."""

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
    """A measured row, without the cell's identity. direction: "lower" or "higher" is better, or "none"."""
    if not isinstance(quantity, Quantity):
        quantity = Quantity(float(quantity))
    measured = dict(metric=metric, unit=unit, direction=direction, group=group, step=step, n=n, blocks=blocks)
    return measured | vars(quantity) | {"status": status, "reason": reason}


def outcome(status: str, reason: str) -> Row:
    """The single row of a cell that gave no numbers."""
    return row("", float("nan"), 0, status=status, reason=reason)
