"""All tables of a report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .efficiency_table import efficiency_table
from .failures_table import failures_table
from .rows import prepare
from .seeds_table import seeds_table
from .table import Table
from .toy_table import toy_table
from .training_table import training_table


def tables(rows: pd.DataFrame) -> list[Table]:
    """Toys, efficiency, training, seeds and failures; a table without lines has nothing to say and is not written."""
    rows = prepare(rows)
    toys = toy_table(rows)
    efficiency = efficiency_table(rows, toys.numbers)
    return [toys, efficiency, training_table(rows), seeds_table(rows), failures_table(rows)]


def write_tables(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Each as csv (numbers), Markdown and LaTeX (text)."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for table in tables(rows) for path in table.write(folder)]
