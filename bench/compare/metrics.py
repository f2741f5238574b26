"""The metrics that are compared: the default margin of each, and its effect from the rows of both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..rows import Row
from .effect import Effect, difference, exact, log_ratio, paired_ratio, ratio, rounds_ratio, unknown
from .runs import StoredCell

DRAWN = ("var_total", "bias_norm")
COUNTS = ("evaluations", "differentiations", "operations", "syncs")
BY_TORCH = ("operations", "syncs", "bytes")
TIMES = ("time_total", "time_device", "time_graph")
MARGINS = (
    {"var_total": 0.05, "bias_norm": 0.05} | dict.fromkeys(COUNTS, 0.0) | {"bytes": 0.02} | dict.fromkeys(TIMES, 0.1)
)
KINDS: dict[str, tuple[str, ...]] = {
    "variance": ("var_total",),
    "bias": ("bias", "bias_norm"),
    **{count: (count,) for count in COUNTS},
    "bytes": ("bytes",),
    "time": TIMES,
}
"""The stored metrics by the names that a user chooses; `bias` is the verdict of the bias test."""
_ROUNDING = 1e-10  # of the squared norm of the gradient: a smaller variance is float32 rounding
_AGREE = 50  # numbers from the same draws that differ by less than margin / _AGREE differ by rounding only


@dataclass(frozen=True)
class Side:
    """One metric of one group on one side: the mean over its seeds; half-widths add in quadrature."""

    values: np.ndarray
    value: float
    se: float
    lo: float
    hi: float
    n: int
    blocks: np.ndarray | None

    @property
    def positive(self) -> bool:
        """Whether its values and the ends of its interval have logarithms."""
        return all(0 < number < math.inf for number in (self.lo, self.value, self.hi, *self.values))

    @classmethod
    def of(cls, rows: list[Row]) -> Side:
        values = np.array([row["value"] for row in rows], dtype=float)
        value = float(values.mean())

        def together(widths: list[float]) -> float:
            return math.sqrt(sum(width**2 for width in widths)) / len(rows)

        below, above = together([r["value"] - r["lo"] for r in rows]), together([r["hi"] - r["value"] for r in rows])
        blocks = [row["blocks"] for row in rows if row["blocks"] is not None]
        together_blocks = np.concatenate(blocks) if len(blocks) == len(rows) else None
        n = sum(int(row["n"]) for row in rows)
        return cls(
            values, value, together([row["se"] for row in rows]), value - below, value + above, n, together_blocks
        )


def effect(
    metric: str, group: str, base: list[StoredCell], new: list[StoredCell], before: Side, after: Side, margin: float
) -> Effect | None:
    """The change of a metric, with a relative margin; None where it cannot be judged.

    It cannot where a number is missing, a bias has no exact gradient to scale it, or draws were stored only as sums:
    the variance from m block sums has a relative error of sqrt(2/m), however many draws there are, so it is judged only
    between runs with the same draws.
    """
    scale = _gradient(base, group)
    if math.isnan(before.value) or math.isnan(after.value) or (metric == "bias_norm" and not scale):
        return None
    if metric in COUNTS:
        return exact("count", after.value - before.value, margin * before.value)
    paired = before.n == after.n and len(base) == len(new) and all(map(StoredCell.same_draws, base, new))
    if metric == "var_total" and not paired and (before.blocks is None or after.blocks is None):
        return None
    if metric == "bias_norm":
        base_bounds, new_bounds = ((s.value / scale, s.lo / scale, s.hi / scale) for s in (before, after))
        found = difference("gradient", base_bounds, new_bounds, margin)
    else:
        rounding = _ROUNDING * max(scale, _gradient(base, "value")) ** 2
        found = _ratio(metric, before, after, paired, rounding, math.log1p(margin))
    if paired and abs(found.change) <= found.margin / _AGREE:
        return exact(found.form, found.change, found.margin)
    return found


def _ratio(metric: str, before: Side, after: Side, paired: bool, rounding: float, margin: float) -> Effect:
    if metric == "bytes":
        return exact("ratio", log_ratio(before.value, after.value), margin)
    if metric in TIMES and not (before.positive and after.positive):
        return unknown(log_ratio(before.value, after.value), margin)
    if metric in TIMES and len(before.values) == len(after.values) > 1:
        return rounds_ratio(before.values, after.values, margin)
    if metric in TIMES:
        base_bounds, new_bounds = ((math.log(s.value), math.log(s.lo), math.log(s.hi)) for s in (before, after))
        return difference("ratio", base_bounds, new_bounds, margin)
    values = [0.0 if side.value <= rounding else side.value for side in (before, after)]
    if not all(values):
        return exact("ratio", log_ratio(*values), margin)
    if before.blocks is None or after.blocks is None:
        return ratio((before.value, before.se), (after.value, after.se), math.inf, margin)
    negative = any((blocks < 0).any() for blocks in (before.blocks, after.blocks))
    if paired and len(before.blocks) == len(after.blocks) and not negative:
        return paired_ratio(before.blocks, after.blocks, margin)
    degrees = min(len(before.blocks), len(after.blocks)) - 1
    return ratio((before.value, before.se), (after.value, after.se), degrees, margin)


def _gradient(cells: list[StoredCell], group: str) -> float:
    """The norm of the exact gradient of a group, 0 where it is unknown."""
    row = cells[0].find("gradient_norm", group)
    return float(row["value"]) if row else 0.0
