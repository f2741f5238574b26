"""The results folder: one sealed part per finished cell, written whole or not at all, and the context of the run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from ... import __version__
from ...estimators.names import UsageError
from ..rows import SCHEMA, Row
from .cell_file import ARROW_SCHEMA, Damaged, Part, pack, unpack
from .files import replace_file, sweep, writing

KEPT = ("ok", "unsupported", "diverged")

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """rows: those of all intact parts. settings: one recipe per intact part. damaged: the keys of the other parts."""

    rows: pd.DataFrame
    settings: list[Mapping[str, Any]]
    damaged: list[str]


class Store:
    """Reads and writes one results folder. Several runs may share it, since a part is named by the key of its cell.

    Reading cannot execute code: the formats are parquet, safetensors and JSON only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.cells = folder, folder / "cells"

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of an existing run. Raises UsageError when the folder holds no results or has a newer schema."""
        store = cls(folder)
        if not store.cells.is_dir():
            raise UsageError(f"{folder} holds no results (no folder cells/ in it); give the -o folder of a run")
        store.check_schema()
        return store

    def check_schema(self) -> None:
        """Raises UsageError when a newer dvae-bench wrote this folder."""
        context = self.context()
        if context.get("schema", SCHEMA) > SCHEMA:
            raise UsageError(
                f"{self.folder} has results schema {context['schema']}, written by dvae-bench "
                f"{context.get('dvae_bench')}; this version ({__version__}) reads schemas up to {SCHEMA}: upgrade "
                "dvae-bench or choose another folder with -o"
            )

    def context(self) -> dict[str, Any]:
        """The context of the last run in this folder; empty for a new folder. Raises UsageError when it is damaged."""
        path = self.folder / "context.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else {}
        except ValueError as error:
            raise UsageError(f"{path} is damaged ({error}); delete it and run again, the cells are kept") from error

    def write_context(self, context: Mapping[str, Any]) -> None:
        """Write the context of a run, and create the folder. Raises Unwritable."""
        with writing(self.cells):
            self.cells.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / "context.json", json.dumps(context, indent=1).encode())

    def sweep(self) -> None:
        """Remove what killed runs left behind: temporary files, and the checkpoints of finished cells."""
        for folder in (self.folder, self.cells):
            sweep(folder)
        for checkpoint in self.cells.glob("*.safetensors"):
            if self.finished(checkpoint.stem):
                checkpoint.unlink(missing_ok=True)

    def status(self, key: str) -> str | None:
        """How a cell ended; None when it has not been measured or its part is damaged."""
        part = self.part(key)
        try:
            return _status(part, part.stat().st_mtime_ns)
        except (OSError, Damaged):
            return None

    def finished(self, key: str) -> bool:
        """Whether a cell is done: failures are recorded, but measured again."""
        return self.status(key) in KEPT

    def write(self, key: str, status: str, settings: Mapping[str, Any], rows: list[Row]) -> None:
        """Store the rows and settings of a cell in one part, atomically. Raises Unwritable."""
        self.put(key, pack(key, status, settings, rows))

    def put(self, key: str, content: bytes) -> None:
        """Store the content of a part taken from another store, atomically. Raises Unwritable."""
        replace_file(self.part(key), content)

    def content(self, key: str) -> bytes:
        """The bytes of a part, for `put` of another store."""
        return self.part(key).read_bytes()

    def quarantine(self, key: str) -> Path | None:
        """Move a damaged part out of the way; returns its new path, or None when the part is not damaged.

        Raises Unwritable.
        """
        if not self.damaged([key]):
            return None
        aside = self.cells / "quarantine" / f"{key}.parquet"
        with writing(aside):
            aside.parent.mkdir(exist_ok=True)
            self.part(key).replace(aside)
        return aside

    def stored(self) -> list[str]:
        """The keys of all parts, damaged ones included."""
        return [part.stem for part in sorted(self.cells.glob("*.parquet"))]

    def damaged(self, keys: Sequence[str]) -> list[str]:
        """The keys among these whose parts are damaged."""
        return [part.stem for part in self._parts(keys) if self._sound(part) is None]

    def read(self, keys: Sequence[str] | None = None) -> Contents:
        """The contents of all parts, or of those with the given keys; damaged parts are listed and left out."""
        tables, settings, damaged = [ARROW_SCHEMA.empty_table()], list[Mapping[str, Any]](), list[str]()
        for path in self._parts(keys):
            if (part := self._sound(path)) is None:
                damaged.append(path.stem)
                continue
            tables.append(_named(path, part.table))
            settings.append(part.settings)
        return Contents(pa.concat_tables(tables).to_pandas(), settings, damaged)

    def rows(self, keys: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of all parts, or of those with the given keys. Raises UsageError naming a damaged part."""
        tables = [_named(path, lambda: unpack(path.read_bytes()).table()) for path in self._parts(keys)]  # noqa: B023
        return pa.concat_tables([ARROW_SCHEMA.empty_table(), *tables]).to_pandas()

    def parts(self, keys: Sequence[str] | None = None) -> list[Part]:
        """All parts, or those with the given keys. Raises UsageError naming a damaged part."""
        return [_named(path, lambda: unpack(path.read_bytes())) for path in self._parts(keys)]  # noqa: B023

    @staticmethod
    def _sound(part: Path) -> Part | None:
        try:
            return unpack(part.read_bytes())
        except (OSError, Damaged):
            return None

    def checkpoint(self, key: str) -> Path:
        """The absolute path of a cell's checkpoint: a plugin may change the working directory during training."""
        return (self.cells / f"{key}.safetensors").absolute()

    def part(self, key: str) -> Path:
        """The path of a cell's part."""
        return self.cells / f"{key}.parquet"

    def _parts(self, keys: Sequence[str] | None) -> list[Path]:
        return [part for part in map(self.part, self.stored() if keys is None else keys) if part.is_file()]


def _named(path: Path, read: Callable[[], T]) -> T:
    """The value of `read()`. Raises UsageError naming the path when the part there is damaged."""
    try:
        return read()
    except Damaged as error:
        raise UsageError(f"{path} is damaged and cannot be read; delete it and run again ({error})") from error


@functools.cache
def _status(part: Path, changed: int) -> str:
    """The status in a part. changed: the time of its last change, so that the cache forgets what was overwritten.

    Raises OSError and Damaged.
    """
    return unpack(part.read_bytes()).status
