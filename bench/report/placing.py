"""The estimators of each task, best first: what was trained by its ELBO, toys by the error that the gradient leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..ranking.candidate import Candidate
from ..ranking.ranking import rank
from ..ranking.stored import OF_CELL, PRODUCTS, candidates
from ..ranking.trained import OF_TRAINING, Trained, at_steps
from ..sources import DRAWS
from .once import once
from .rows import SETTING, cells, measured, of_metric, settings, toys, trainings


@once
def best_first(rows: pd.DataFrame) -> dict[Any, list[str]]:
    """[task, data, device] -> every estimator with a row there; those without a place in the ranking come last."""
    able, ends, by_error = candidates_of(rows), trained_of(rows), _by_error(rows)
    found = {}
    for setting, part in cells(rows).groupby(level=SETTING):
        ranked = _ranked(able[setting]) + by_error.get(setting, []) if setting in able else _finished(ends[setting])
        names = set(part.index.get_level_values("estimator"))
        found[setting] = list(dict.fromkeys([*ranked, *sorted(names - set(ranked))]))
    return found


@once
def candidates_of(rows: pd.DataFrame) -> dict[Any, list[Candidate]]:
    """[task, data, device] -> the candidates of each toy."""
    needed = of_metric(rows, *PRODUCTS, *OF_CELL)
    parts = dict(iter(needed.groupby(SETTING)))
    return {setting: candidates(parts.get(setting, needed.iloc[:0])) for setting in settings(toys(rows))}


@once
def trained_of(rows: pd.DataFrame) -> dict[Any, Trained]:
    """[task, data, device] -> what each training task reached after as many steps as most trainings took."""
    needed = of_metric(trainings(rows), *OF_TRAINING)
    return {setting: at_steps(part) for setting, part in needed.groupby(SETTING)}


def _finished(trained: Trained) -> list[str]:
    return [finish.estimator for finish in trained.finishes if finish.group]


def _ranked(able: Sequence[Candidate]) -> list[str]:
    return [line.estimator for line in rank(able).lines if line.group]


def _by_error(rows: pd.DataFrame) -> dict[Any, list[str]]:
    """[task, data, device] -> its estimators by variance and squared bias: for those that no ranking holds, as from
    runs before it.
    """
    parts = [measured(rows, DRAWS, metric, "cut")["value"] for metric in ("bias_rel", "var_total", "gradient_norm")]
    bias, variance, norm = parts
    error = (bias**2 + variance / norm**2).dropna()
    return {
        setting: [str(name) for *_, name in part.sort_values(kind="stable").index]
        for setting, part in error.groupby(level=SETTING)
    }
