"""The results folder: one sealed part per finished cell, written whole or not at all, and the context of the run."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from ... import __version__
from ...estimators.names import UsageError
from ..rows import COLUMNS, SCHEMA, Row
from .cell_file import ARROW_SCHEMA, Part, pack, tidied, unpack, unpack_rows
from .context_file import read_context
from .files import Damaged, own, read_file, replace_file, sweep, writing

KEPT = ("ok", "unsupported", "diverged")
MOST_ROWS = 10**7
"""The most rows that are read at once; they take about 5 GB."""
_TOGETHER = 256
"""Parts that are made one table; a table of its own for each of 20,000 parts takes more memory than their rows."""

IMAGES = "images_"
"""How the metrics of images begin."""

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """rows: those of all intact parts. settings: source -> the different settings of its cells; the recipes of all
    parts would take more memory than their rows. damaged: the keys of the other parts.
    """

    rows: pd.DataFrame
    settings: dict[str, list[Mapping[str, Any]]]
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
        if not os.path.lexists(path):
            return {}
        try:
            return read_context(path)
        except Damaged as error:
            raise UsageError(f"{path} is damaged ({error}); delete it and run again, the cells are kept") from error

    def write_context(self, context: Mapping[str, Any]) -> None:
        """Write the context of a run, and create the folder. Raises Unwritable."""
        own(self.cells)
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
            return _status(part, part.lstat().st_mtime_ns)
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
        replace_file(self.part(key), content, self.folder)

    def content(self, key: str) -> bytes:
        """The bytes of a part, for `put` of another store."""
        return read_file(self.part(key))

    def quarantine(self, key: str) -> Path | None:
        """Move a damaged part out of the way; returns its new path, or None when the part is not damaged.

        Raises Unwritable.
        """
        if not self.damaged([key]):
            return None
        aside = self.cells / "quarantine" / f"{key}.parquet"
        own(aside, self.folder)
        with writing(aside):
            aside.parent.mkdir(exist_ok=True)
            self.part(key).replace(aside)
        return aside

    def stored(self) -> list[str]:
        """The keys of all parts, damaged ones included."""
        return [part.stem for part in sorted(self.cells.glob("*.parquet"))]

    def damaged(self, keys: Sequence[str]) -> list[str]:
        """The keys among these whose parts are damaged."""
        return [part.stem for part in self._parts(keys) if _sound(part) is None]

    def read(self, keys: Sequence[str] | None = None) -> Contents:
        """The contents of all parts, or of those with the given keys; damaged parts are listed and left out.

        Raises UsageError when they hold too many rows.
        """
        settings, damaged = dict[str, list[Mapping[str, Any]]](), list[str]()

        def tables() -> Iterator[pa.Table]:
            for path in self._parts(keys):
                if (found := _sound(path)) is None:
                    damaged.append(path.stem)
                else:
                    part, table = found
                    _note(part.settings, settings)
                    yield table

        return Contents(self._frame(tables()), dict(sorted(settings.items())), damaged)

    def rows(self, keys: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of all parts, or of those with the given keys.

        Raises UsageError naming a damaged part, and when they hold too many rows.
        """
        return self._frame(_named(path, lambda path: unpack_rows(read_file(path))[1]) for path in self._parts(keys))

    def parts(self, keys: Sequence[str] | None = None) -> list[Part]:
        """All parts, or those with the given keys. Raises UsageError naming a damaged part."""
        return [_named(path, lambda path: unpack(read_file(path))) for path in self._parts(keys)]

    def _frame(self, tables: Iterator[pa.Table]) -> pd.DataFrame:
        """The rows of all tables. Raises UsageError when they are too many."""
        with _system_memory():
            return self._joined(tables)

    def _joined(self, tables: Iterator[pa.Table]) -> pd.DataFrame:
        parts, rows = [_part_of_frame([ARROW_SCHEMA.empty_table()])], 0
        while batch := list(islice(tables, _TOGETHER)):
            parts.append(_part_of_frame(batch))
            rows += len(parts[-1])
            if rows > MOST_ROWS:
                raise UsageError(
                    f"{self.folder} holds more than {MOST_ROWS} rows, too many to read at once; keep its cells in "
                    "several folders"
                )
        columns = {}
        for name in COLUMNS:  # one after another, so that memory never holds all rows twice
            values = np.concatenate([part.pop(name).to_numpy() for part in parts])
            columns[name] = pd.Series(values, dtype=values.dtype, copy=False)
        trim()
        return pd.DataFrame(columns, copy=False)

    def checkpoint(self, key: str) -> Path:
        """The absolute path of a cell's checkpoint: a plugin may change the working directory during training."""
        return (self.cells / f"{key}.safetensors").absolute()

    def part(self, key: str) -> Path:
        """The path of a cell's part."""
        return self.cells / f"{key}.parquet"

    def _parts(self, keys: Sequence[str] | None) -> list[Path]:
        return [part for part in map(self.part, self.stored() if keys is None else keys) if os.path.lexists(part)]


def trim() -> None:
    """Give the system back what was freed: malloc keeps columns of the size of a run's, which then count as used."""
    pa.system_memory_pool().release_unused()


@contextmanager
def _system_memory() -> Iterator[None]:
    """Arrow's memory from the system: its own pool keeps what small tables took, as much as half of the rows."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)


def _part_of_frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """The rows of these tables. Equal texts are one object, and grey levels are bytes."""
    table = tidied(pa.concat_tables(tables)).combine_chunks()
    texts = [name for name, column in zip(table.column_names, table.columns, strict=True) if column.type == pa.string()]
    for name in texts:
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    frame = table.to_pandas().astype(dict.fromkeys(texts, object))
    found = zip(frame["blocks"], frame["metric"], strict=True)
    own = [None if blocks is None else _own(blocks, metric) for blocks, metric in found]
    return frame.assign(blocks=pd.Series(own, frame.index, dtype=object))


def _own(blocks: np.ndarray, metric: str) -> np.ndarray:
    """A copy, for one block would keep the memory of all in its table. Images are whole numbers from 0 to 255, whose
    bytes take an eighth of the memory.
    """
    if metric.startswith(IMAGES):
        with np.errstate(invalid="ignore"):  # of a stranger's, which stay as they are
            levels = blocks.astype(np.uint8)
        if np.array_equal(levels, blocks):
            return levels
    return blocks.copy()


def _note(recipe: Mapping[str, Any], found: dict[str, list[Mapping[str, Any]]]) -> None:
    """Add the settings in a recipe to those found of its source, if they are new."""
    source, settings = str(recipe.get("source")), recipe.get("settings")
    if isinstance(settings, dict) and settings not in found.setdefault(source, []):
        found[source].append(settings)


def _sound(path: Path) -> tuple[Part, pa.Table] | None:
    """A part and its rows; None where it is damaged."""
    try:
        return unpack_rows(read_file(path))
    except (OSError, Damaged):
        return None


def _named(path: Path, read: Callable[[Path], T]) -> T:
    """The value of `read(path)`. Raises UsageError naming the path when the part there is damaged."""
    try:
        return read(path)
    except Damaged as error:
        raise UsageError(f"{path} is damaged and cannot be read; delete it and run again ({error})") from error


@functools.cache
def _status(part: Path, changed: int) -> str:
    """The status in a part. changed: the time of its last change, so that the cache forgets what was overwritten.

    Raises OSError and Damaged.
    """
    return unpack(read_file(part)).status
