"""The estimators of each task, best first: what was trained by its ELBO, toys by the error that the gradient leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..ranking.candidate import Candidate
from ..ranking.ranking import rank
from ..ranking.stored import OF_CELL, PRODUCTS, candidates
from ..ranking.trained import Trained, at_steps
from ..sources import DRAWS
from .once import once
from .rows import SETTING, is_training, measured, of_metric


@once
def best_first(rows: pd.DataFrame) -> dict[Any, list[str]]:
    """[task, data, device] -> every estimator with a row there; those without a place in the ranking come last."""
    able, ends = candidates_of(rows), trained_of(rows)
    found = {}
    for setting, part in rows.groupby(SETTING):
        ranked = _by_error(part, able[setting]) if setting in able else _finished(ends[setting])
        found[setting] = list(dict.fromkeys([*ranked, *sorted(set(part["estimator"]) - set(ranked))]))
    return found


@once
def candidates_of(rows: pd.DataFrame) -> dict[Any, list[Candidate]]:
    """[task, data, device] -> the candidates of each toy."""
    needed = of_metric(rows, *PRODUCTS, *OF_CELL)
    parts = dict(iter(needed.groupby(SETTING)))
    toys = rows.loc[~is_training(rows), SETTING].drop_duplicates().itertuples(index=False, name=None)
    return {setting: candidates(parts.get(setting, needed.iloc[:0])) for setting in toys}


@once
def trained_of(rows: pd.DataFrame) -> dict[Any, Trained]:
    """[task, data, device] -> what each training task reached after as many steps as most trainings took."""
    return {setting: at_steps(part) for setting, part in rows[is_training(rows)].groupby(SETTING)}


def _finished(trained: Trained) -> list[str]:
    return [finish.estimator for finish in trained.finishes if finish.group]


def _by_error(rows: pd.DataFrame, able: Sequence[Candidate]) -> list[str]:
    """By the ranking; those that it does not hold, as from runs before it, by variance and squared bias."""
    ranked = [line.estimator for line in rank(able).lines if line.group]
    parts = [measured(rows, DRAWS, metric, "cut")["value"] for metric in ("bias_rel", "var_total", "gradient_norm")]
    bias, variance, norm = (part.droplevel(SETTING) for part in parts)
    rest = (bias**2 + variance / norm**2).dropna().sort_values(kind="stable").index
    return [*ranked, *(str(name) for name in rest if name not in ranked)]
