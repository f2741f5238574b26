"""A results folder as one side of a comparison: the newest cell of each subject and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..rows import Row
from ..store.store import Store


class Subject(NamedTuple):
    """What is compared: an estimator on a task, measured from one source; seeds are its replicates."""

    task: str
    data: str
    device: str
    estimator: str
    source: str

    def __str__(self) -> str:
        return f"{self.estimator} on {self.task}, {self.source}"


@dataclass(frozen=True)
class StoredCell:
    """A stored cell: recipe, status and rows."""

    settings: Mapping[str, Any]
    status: str
    rows: list[Row]

    @property
    def subject(self) -> Subject:
        return Subject(*(self.rows[0][name] or "" for name in Subject._fields))

    @property
    def seed(self) -> int:
        return int(self.rows[0]["seed"])

    def measured(self, metric: str) -> dict[str, Row]:
        """group -> row of a metric."""
        return {row["group"]: row for row in self.rows if row["metric"] == metric}

    def find(self, metric: str, group: str) -> Row | None:
        return self.measured(metric).get(group)

    def same_draws(self, other: StoredCell) -> bool:
        """Whether both used the same random numbers: the same seed, and equal values of the settings both have."""
        mine, theirs = self.settings.get("settings", {}), other.settings.get("settings", {})
        return self.seed == other.seed and all(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())


@dataclass(frozen=True)
class Run:
    """One side of a comparison. Raises UsageError when the folder holds no results or a damaged part."""

    store: Store

    @classmethod
    def open(cls, folder: Path) -> Run:
        return cls(Store.open(folder))

    @cached_property
    def context(self) -> dict[str, Any]:
        return self.store.context()

    @cached_property
    def cells(self) -> dict[Subject, list[StoredCell]]:
        """The cells of every subject, by seed; the newest where code or settings changed within the folder.

        Without those that did not apply: a run leaves them out of its plan where the facts say so, or stores only that.
        """
        parts = sorted(self.store.cells.glob("*.parquet"), key=lambda part: part.lstat().st_mtime_ns)
        newest = {(cell.subject, cell.seed): cell for cell in map(self.read, parts) if cell.rows}
        newest = {key: cell for key, cell in newest.items() if cell.status != "unsupported"}
        found: dict[Subject, list[StoredCell]] = {}
        for subject, seed in sorted(newest):
            found.setdefault(subject, []).append(newest[subject, seed])
        return found

    def read(self, part: Path) -> StoredCell:
        rows: list[Any] = self.store.rows([part.stem]).to_dict("records")
        (found,) = self.store.parts([part.stem])
        return StoredCell(found.settings, found.status, rows)
