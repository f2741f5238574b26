"""All tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from dvae_bench.estimators.names import UsageError, nearest

from ..rows import CELL, SETTING, prepare
from ..view import NAME, View
from .efficiency import efficiency_table
from .exact import exact_table
from .failures import failures_table
from .seeds import seeds_table
from .table import Table
from .toys import toy_table
from .training import training_table


class Tables(NamedTuple):
    """The tables of a run; one without lines is not written."""

    toys: Table
    efficiency: Table
    training: Table
    seeds: Table
    exact: Table
    failures: Table


def tables_of(rows: pd.DataFrame) -> Tables:
    """All tables of stored rows. Raises UsageError when a column is missing."""
    rows = prepare(rows)
    toys, training = toy_table(rows), training_table(rows)
    efficiency = efficiency_table(rows, toys.numbers)
    others = seeds_table(rows), exact_table(rows), failures_table(rows)
    return Tables(_counted(toys), efficiency, _counted(training), *others)


def _counted(table: Table) -> Table:
    """The table, its caption with the number of combinations that have no line."""
    lines = table.numbers[CELL].drop_duplicates()
    every = len(lines[SETTING].drop_duplicates()) * lines["estimator"].nunique()
    if every == len(lines):
        return table
    others = f"{every - len(lines)} of {every} combinations of task and estimator do not apply or were not run"
    return replace(table, caption=f"{table.caption} {others}: dvae-bench list support.")


def chosen_table(rows: pd.DataFrame, name: str, view: View, columns: Sequence[str] = ()) -> Table:
    """One table of the estimators and tasks that `view` chooses: the best `view.most` of each task and the highlighted
    ones, under their labels; by name if it says so. columns: those shown beside task and estimator; () for all.

    Raises UsageError for a table or column that does not exist.
    """
    tables = tables_of(view.select(prepare(rows)))._asdict()
    if name not in tables:
        raise UsageError(f"no table {name!r}{nearest(name, tables)}")
    table: Table = tables[name]
    for column in columns:
        if column not in table.text:
            raise UsageError(f"the table {name} has no column {column!r}{nearest(column, table.text.columns)}")
    names = table.numbers["estimator"]
    place = table.numbers.groupby([key for key in SETTING if key in table.numbers]).cumcount()
    shown = (
        pd.Series(True, index=names.index) if view.most is None else (place < view.most) | names.map(view.highlighted)
    )
    lines = [i for i, kept in enumerate(shown) if kept]
    if view.order == NAME:
        keys = [key for key in (*SETTING, "estimator") if key in table.numbers]
        order = table.numbers[keys].reset_index(drop=True).sort_values(keys, kind="stable").index
        lines = [i for i in order if i in set(lines)]
    text = table.text.iloc[lines].assign(estimator=[view.label(str(name)) for name in names.iloc[lines]])
    if columns:
        text = text[[key for key in CELL if key in text and key not in columns] + list(columns)]
    bold = {column: [flags[i] for i in lines] for column, flags in table.bold.items() if column in text}
    return replace(table, numbers=table.numbers.iloc[lines], text=text, bold=bold, key=() if columns else table.key)


def write_tables(all_tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each as csv (numbers), Markdown and LaTeX (text); returns the files. Raises Unwritable."""
    return [path for table in all_tables for path in table.write(folder)]
