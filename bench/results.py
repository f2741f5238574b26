"""A stored run in Python: its answers, rows, tables and figures."""

from __future__ import annotations

import warnings
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd

from ..estimators.names import UsageError, nearest
from ..estimators.registry import ESTIMATORS, TASKS
from .report.answers import answers, shortened
from .report.hyperparameters import columns
from .report.rows import CELL, failures
from .report.study import Study
from .report.tables.write import Tables
from .report.verdicts import of_logits, verdicts
from .store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ANSWERS = 8


def load(folder: str | Path) -> Results:
    """The results of a run, from its folder: `load("results/quick").rows`.

    Damaged parts are left out, with a warning. Raises UsageError when the folder holds no results.
    """
    store = Store.open(Path(folder))
    study = Study.of(store, str(folder))
    if study.damaged:
        warnings.warn(f"left out, damaged: {', '.join(str(store.part(key)) for key in study.damaged)}", stacklevel=2)
    return Results(study)


class Results:
    """A stored run. Its repr answers first: which estimators are best on each task; `load` makes it."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line per measured number: estimator, task, seed, metric, value, lo, hi, and the rest of the row.

        Hyper-parameters are columns, defaults included: `estimator_tau`, `task_k`; missing where a name has none.
        `verdict`: on the gradient group of the row; where the row is of the whole estimator, such as a time, on the
        logits gradient. Holm's test is over all bias tests of the run. "" where nothing was tested.
        """
        rows, found = self._study.rows.sort_index(), verdicts(self._study.rows)
        own = found["verdict"].reindex(pd.MultiIndex.from_frame(rows[[*CELL, "group"]])).to_numpy()
        whole = of_logits(found)["verdict"].reindex(pd.MultiIndex.from_frame(rows[CELL])).to_numpy()
        verdict = pd.Series(own, rows.index, dtype=object).fillna(pd.Series(whole, rows.index, dtype=object))
        parts = [rows.assign(verdict=verdict.fillna(""))]
        for kind, registry in (("estimator", ESTIMATORS), ("task", TASKS)):
            parts.append(columns(registry, rows[kind]).reindex(rows[kind]).add_prefix(f"{kind}_").set_index(rows.index))
        return pd.concat(parts, axis=1)

    def only(self, estimator: str = "*", task: str = "*") -> Results:
        """The estimators and tasks that match these globs: `run.only(task="bit-table*").plot("sweeps", ax=ax)`.

        Holm's test is then over the bias tests that are left, so that a verdict can become "biased". Raises UsageError
        where no row is left.
        """
        rows, kept = self._study.rows, pd.Series(True, self._study.rows.index)
        for column, glob in (("estimator", estimator), ("task", task)):
            kept &= rows[column].map(lambda name, glob=glob: fnmatchcase(name, glob)).astype(bool)
        if not kept.any():
            known = ", ".join(sorted(set(rows["task" if task != "*" else "estimator"])))
            raise UsageError(f"no row has estimator={estimator!r} and task={task!r}; there are {known}")
        return Results(replace(self._study, rows=rows[kept].sort_index().reset_index(drop=True)))

    def table(self, name: str) -> pd.DataFrame:
        """The numbers of a table at full precision: "toys", "efficiency", "training", "seeds" or "failures".

        It has no lines where the run has nothing for it. Raises UsageError for another name.
        """
        if name not in Tables._fields:
            raise UsageError(f"no table {name!r}{nearest(name, Tables._fields)}")
        return getattr(self._study.tables, name).numbers.reset_index(drop=True)

    @overload
    def plot(self, name: str, ax: None = None) -> Figure: ...
    @overload
    def plot(self, name: str, ax: Any) -> None: ...
    def plot(self, name: str, ax: Any = None) -> Figure | None:
        """Draw a figure of the report (`dvae-bench list figures`) into `ax`, or return a new one without it.

        ax: an Axes of matplotlib, or an array of as many as the figure has panels; a single Axes is divided where
        there are several panels. Raises UsageError for another name or number of Axes, and, with the reason, where
        these rows give no such figure.
        """
        from .report.figures.given import Shown, draw_into
        from .report.figures.style import made_as, style
        from .report.figures.write import known, plot

        known([name])
        rows = self._study.rows
        if ax is not None:
            draw_into(name, rows, ax)
            return None
        with style("notebook"), made_as(Shown):
            figure = plot(name, rows)
        if isinstance(figure, str):
            raise UsageError(f"these rows give no figure {name!r}: {figure}")
        return figure

    def __repr__(self) -> str:
        found = answers(self._study.rows)
        shown = [f"{each.setting}, {each.question}: {each.text}" for each in shortened(found, _MOST_ANSWERS)]
        more = len(found) - len(shown)
        lines = [*shown, f"and {_count(more, 'more answer')}"] if more else shown
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        rows, failed = self._study.rows, failures(self._study.rows)
        tables = [table.name for table in self._study.tables if len(table.numbers)]
        counts = f"{_count(rows['estimator'].nunique(), 'estimator')}, {_count(rows['task'].nunique(), 'task')}"
        lost = f", {_count(len(failed), 'failed cell')}" if len(failed) else ""
        named = f".table({' or '.join(map(repr, tables))}), " if tables else ""
        return f"{self._study.label}: {counts}, {len(rows):,} rows{lost}; see .rows, {named}.plot(name)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
