"""What the trainings of a run reached within a budget, and which of them ended best: one rule for every face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..ranking.candidate import Candidate
from ..ranking.trained import OF_TRAINING, Trained, at_seconds, at_steps
from ..sources import CLOCK, DRAWS
from .columns import Column
from .rows import SETTING, of_metric

ENDS: dict[str, Callable[[pd.DataFrame], Trained]] = {"steps": at_steps, "seconds": at_seconds}
"""Trainings are compared at equal steps and at equal time."""
_COSTS = ["evaluations", "differentiations"]


class Contest:
    """The trainings of a run; `columns` are its settings."""

    def __init__(self, rows: pd.DataFrame, columns: Sequence[Column]) -> None:
        parts = dict(iter(of_metric(rows, *_COSTS, *OF_TRAINING).groupby(SETTING)))
        self.columns = columns
        self._rows = {x.setting: parts.get(x.setting, rows.iloc[:0]) for x in columns}
        self._costs = {x.setting: self._cost(x) for x in columns if x.trained}
        self._known: dict[Any, Trained] = {}

    def ends(self, column: Column, evaluations: float, differentiable: bool = True) -> dict[str, Trained]:
        """By each of ENDS, without the estimators whose step is known to need more evaluations of f, or to
        differentiate an f that is not differentiable. A model is trained anyway: its differentiations cost nothing.
        """
        rows, costs = self._rows[column.setting], self._costs[column.setting]
        dear = costs["evaluations"] > evaluations
        if not differentiable:
            dear |= costs["differentiations"] > 0
        left_out = frozenset(map(str, costs.index[dear]))
        found = {}
        for name, end in ENDS.items():
            key = (column.setting, name, left_out)
            if key not in self._known:
                self._known[key] = end(rows[~rows["estimator"].isin(left_out)])
            found[name] = self._known[key]
        return found

    def _cost(self, column: Column) -> pd.DataFrame:
        """[estimator] -> evaluations, differentiations of a step; from toys of the kind where it was not counted."""
        kind = [self._rows[x.setting] for x in self.columns if x.kind == column.kind]
        rows = pd.concat([self._rows[column.setting], *kind])
        rows = rows[rows["metric"].isin(_COSTS) & rows["source"].isin([CLOCK.name, DRAWS.name]) & rows["value"].notna()]
        costs: Any = rows.groupby(["estimator", "metric"], sort=False)["value"].first().unstack()
        return costs.reindex(columns=_COSTS)


def ranked_toy(kind: str, columns: Sequence[Column], able: Mapping[Any, Sequence[Candidate]]) -> Column | None:
    """The toy whose ranking stands for a kind of latent: the largest that has candidates."""
    own = [x for x in columns if x.kind == kind and not x.trained and able[x.setting]]
    return max(own, key=lambda x: x.sites, default=None)
