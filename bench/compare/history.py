"""A metric over several runs."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pandas as pd

from ...estimators.names import UsageError
from ..escapes import markdown
from ..report.numbers import with_interval
from .metrics import Side
from .runs import Run


def history_table(metric: str, folders: list[Path], estimators: list[str], tasks: list[str]) -> str:
    """One line per estimator, task and group; one column per run, by start time: the mean over seeds.

    Raises UsageError when no run holds the metric.
    """
    runs = sorted(map(Run.open, folders), key=lambda run: str(run.context.get("started", "")))
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for run in runs:
        for (task, _, _, estimator, _), stored in run.cells.items():
            if _matches(estimator, estimators) and _matches(task, tasks):
                for group in stored[0].measured(metric):
                    side = Side.of([row for cell in stored if (row := cell.find(metric, group))])
                    line = cells.setdefault((markdown(task), markdown(estimator), markdown(group)), {})
                    line[_column(run)] = with_interval(side.value, side.lo, side.hi)
    if not cells:
        raise UsageError(f"these runs hold no {metric!r} of these estimators and tasks; name a metric of their rows")
    table = pd.DataFrame.from_dict(cells, orient="index").reindex(columns=list(dict.fromkeys(map(_column, runs))))
    table.index = pd.MultiIndex.from_tuples(table.index, names=["task", "estimator", "group"])
    return table.sort_index().astype(object).fillna("–").reset_index().to_markdown(index=False, disable_numparse=True)


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, p) for p in patterns for text in (name, name.partition(":")[0]))


def _column(run: Run) -> str:
    """`2026-11-22T18:00 1a2b3c4* (runs/a)`: start, commit (* if the checkout was changed), folder."""
    git = run.context.get("git") or {}
    commit = markdown((git.get("commit") or "no commit")[:7]) + ("*" if git.get("dirty") else "")
    return f"{markdown((run.context.get('started') or '')[:16])} {commit} ({markdown(run.store.folder.name)})"
