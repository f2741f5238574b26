"""All tables of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..rows import CELL, SETTING, applicable, prepare
from .efficiency import efficiency_table
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
    failures: Table


def tables_of(rows: pd.DataFrame) -> Tables:
    """All tables of stored rows. Raises UsageError when a column is missing."""
    rows = applicable(prepare(rows))
    toys, training = toy_table(rows), training_table(rows)
    efficiency = efficiency_table(rows, toys.numbers)
    return Tables(_counted(toys), efficiency, _counted(training), seeds_table(rows), failures_table(rows))


def _counted(table: Table) -> Table:
    """The table, its caption with the number of combinations that have no line."""
    lines = table.numbers[CELL].drop_duplicates()
    every = len(lines[SETTING].drop_duplicates()) * lines["estimator"].nunique()
    if every == len(lines):
        return table
    others = f"{every - len(lines)} of {every} combinations of task and estimator do not apply or were not run"
    return replace(table, caption=f"{table.caption} {others}: dvae-bench list support.")


def write_tables(all_tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each as csv (numbers), Markdown and LaTeX (text); returns the files. Raises Unwritable."""
    return [path for table in all_tables for path in table.write(folder)]
