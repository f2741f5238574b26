"""The estimators of each task, best first: what was trained by its ELBO, toys by the error that the gradient leaves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..ranking.ranking import rank
from ..ranking.stored import candidates
from ..ranking.trained import at_steps
from ..sources import DRAWS
from .rows import SETTING, is_training, measured


def best_first(rows: pd.DataFrame) -> dict[Any, list[str]]:
    """[task, data, device] -> every estimator with a row there; those without a place in the ranking come last."""
    training = is_training(rows)
    found = {}
    for setting, part in rows.groupby(SETTING):
        trained = bool(training[part.index].any())
        ranked = _trained(part) if trained else _by_error(part)
        found[setting] = list(dict.fromkeys([*ranked, *sorted(set(part["estimator"]) - set(ranked))]))
    return found


def _trained(rows: pd.DataFrame) -> list[str]:
    return [finish.estimator for finish in at_steps(rows).finishes if finish.group]


def _by_error(rows: pd.DataFrame) -> list[str]:
    """By the ranking; those that it does not hold, as from runs before it, by variance and squared bias."""
    known = rows["estimator"].isin(rows.loc[rows["metric"] == "along", "estimator"])
    ranked = [line.estimator for line in rank(candidates(rows[known])).lines if line.group]
    parts = [measured(rows, DRAWS, metric, "cut")["value"] for metric in ("bias_rel", "var_total", "gradient_norm")]
    bias, variance, norm = (part.droplevel(SETTING) for part in parts)
    rest = (bias**2 + variance / norm**2).dropna().sort_values(kind="stable").index
    return [*ranked, *(str(name) for name in rest if name not in ranked)]
