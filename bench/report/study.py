"""A results folder as tables, figures and the page see it: its label, rows, context and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..store.store import Store, trim
from .rows import prepare
from .tables.write import Tables, tables_of


@dataclass(frozen=True)
class Study:
    """settings: source -> the different settings of its cells. damaged: the parts that are left out."""

    label: str
    rows: pd.DataFrame
    context: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    damaged: Sequence[str] = ()

    @classmethod
    def of(cls, store: Store, label: str, keys: Sequence[str] | None = None) -> Study:
        """The cells with these keys (default: all) of a store, without those whose parts are damaged."""
        contents = store.read(keys)
        rows, settings, damaged = prepare(contents.rows), contents.settings, contents.damaged
        del contents
        trim()
        return cls(label, rows, store.context(), settings, damaged)

    @cached_property
    def tables(self) -> Tables:
        """All tables of the rows, computed once."""
        return tables_of(self.rows)


def labels(folders: Sequence[Path]) -> list[str]:
    """Labels of the folders: their names, or their paths where two have the same name."""
    names = [Path(os.path.realpath(folder)).name for folder in folders]  # Path.resolve raises on a circle of links
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
