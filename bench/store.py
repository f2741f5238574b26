"""The results folder: one parquet part a finished cell, written whole or not at all, and the context of each run."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..estimators.names import UsageError
from .files import replace_file
from .rows import COLUMNS, SCHEMA, Row

DAMAGE = (OSError, ValueError, pa.ArrowException)
KEPT = ("ok", "unsupported", "diverged")
UNSEALED = b"0" * 64  # where the checksum of a part stands while it is taken

_TYPES = dict(seed=pa.int64(), step=pa.int64(), n=pa.int64(), tuned_steps=pa.int64(), blocks=pa.list_(pa.float64()))
_FLOATS = ("value", "se", "lo", "hi")
ARROW_SCHEMA = pa.schema(
    [(name, pa.float64() if name in _FLOATS else _TYPES.get(name, pa.string())) for name in COLUMNS]
)


class Store:
    """Reads and writes one results folder. Nothing read back can execute code: parquet, safetensors and JSON only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cells = folder, folder / "cells"

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of an existing run. Raises UsageError when there is none, or it is of a newer schema."""
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
        """The context of the last run written here; empty for a new folder. Raises UsageError when it is damaged."""
        path = self.folder / "context.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else {}
        except ValueError as error:
            raise UsageError(f"{path} is damaged ({error}); delete it and run again, the cells are kept") from error

    def write_context(self, context: Mapping[str, Any]) -> None:
        self.cells.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / "context.json", json.dumps(context, indent=1).encode())

    def status(self, key: str) -> str | None:
        """How a cell ended, or None when it has not been measured or its part cannot be read."""
        part = self._part(key)
        try:
            return _status(part, part.stat().st_mtime_ns)
        except (*DAMAGE, KeyError, TypeError):
            return None

    def finished(self, key: str) -> bool:
        """Whether a cell need not be measured again: failures are recorded, never reused."""
        return self.status(key) in KEPT

    def write(self, key: str, status: str, settings: Mapping[str, Any], rows: list[Row]) -> None:
        """Store a cell's rows and settings in one part, atomically."""
        table = pa.Table.from_pylist([{**dict.fromkeys(COLUMNS), **row} for row in rows], schema=ARROW_SCHEMA)
        metadata = {"schema": str(SCHEMA), "key": key, "status": status, "settings": json.dumps(settings)}
        metadata["sha256"] = UNSEALED.decode()
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink, write_page_checksum=True)
        content = sink.getvalue().to_pybytes()
        seal = hashlib.sha256(content).hexdigest().encode()
        self.put(key, content.replace(UNSEALED, seal))

    def stored(self) -> list[str]:
        """The keys of all parts."""
        return sorted(path.stem for path in self.cells.glob("*.parquet"))

    def content(self, key: str) -> bytes:
        """A cell's part as it is stored, to be put into another store."""
        return self._part(key).read_bytes()

    def put(self, key: str, content: bytes) -> None:
        """Store a cell's part as another store has it, atomically."""
        self.cells.mkdir(parents=True, exist_ok=True)
        replace_file(self._part(key), content)

    def rows(self, keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Every stored row, or those of the given cells, as one frame. Raises UsageError naming a damaged part."""
        tables = [self._read(path) for path in self._parts(keys)]
        return pa.concat_tables([ARROW_SCHEMA.empty_table(), *tables]).to_pandas()

    def settings(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """What every cell, or each of the given ones, was measured with; without the cells that do not say it."""
        found = []
        for path in self._parts(keys):
            try:
                found.append(json.loads(pq.read_schema(path).metadata[b"settings"]))
            except (*DAMAGE, KeyError, TypeError):
                continue
        return [settings for settings in found if isinstance(settings, dict)]

    def _parts(self, keys: Sequence[str] | None) -> list[Path]:
        parts = [self._part(key) for key in (self.stored() if keys is None else keys)]
        return [path for path in parts if path.is_file()]

    @staticmethod
    def _read(part: Path) -> pa.Table:
        try:
            return _sound(part).read(use_threads=False).cast(ARROW_SCHEMA).replace_schema_metadata(None)
        except (*DAMAGE, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{part} is damaged and cannot be read; delete it and run again ({reason})") from error

    def checkpoint(self, key: str) -> Path:
        """Where a cell's training is kept while it is in flight."""
        return self.cells / f"{key}.safetensors"

    def _part(self, key: str) -> Path:
        return self.cells / f"{key}.parquet"


@functools.cache
def _status(part: Path, changed: int) -> str:
    """What a part says of its cell; read anew when the file was changed."""
    return _sound(part).metadata.metadata[b"status"].decode()


def _sound(part: Path) -> pq.ParquetFile:
    """A part; one of DAMAGE is raised unless it is what was written. Parquet checks pages, not its footer."""
    content = part.read_bytes()
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    seal = file.metadata.metadata[b"sha256"]
    if hashlib.sha256(content.replace(seal, UNSEALED)).hexdigest().encode() != seal:
        raise ValueError("its checksum is not that of its content")
    return file
