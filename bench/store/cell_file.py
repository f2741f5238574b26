"""A part, the file of one finished cell: rows and settings in parquet, sealed by a checksum of all its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..rows import COLUMNS, SCHEMA, Row
from .files import UNSEALED, is_sound, sealed

_SEAL = b"\x18\x06sha256\x18\x40"  # as parquet's footer encodes it: a key of 6 bytes, then a value of 64
_TYPES = dict(seed=pa.int64(), step=pa.int64(), n=pa.int64(), tuned_steps=pa.int64(), blocks=pa.list_(pa.float64()))
_FLOATS = ("value", "se", "lo", "hi")
ARROW_SCHEMA = pa.schema(
    [(name, pa.float64() if name in _FLOATS else _TYPES.get(name, pa.string())) for name in COLUMNS]
)


class Damaged(ValueError):
    """The bytes are not an intact part; the message gives the evidence."""


@dataclass(frozen=True)
class Part:
    """How a cell ended, and its settings; the rows are parsed on demand."""

    status: str
    settings: Mapping[str, Any]
    content: bytes

    def table(self) -> pa.Table:
        """The rows in ARROW_SCHEMA. Raises Damaged when the content does not fit it."""
        with _parsing():
            file = pq.ParquetFile(pa.BufferReader(self.content), page_checksum_verification=True)
            return file.read(use_threads=False).cast(ARROW_SCHEMA).replace_schema_metadata(None)


def pack(key: str, status: str, settings: Mapping[str, Any], rows: list[Row]) -> bytes:
    """The bytes of a part. key: the cell's, kept in the metadata; settings: the cell's recipe, plain JSON."""
    table = _table(rows)
    metadata = {"schema": str(SCHEMA), "key": key, "status": status, "settings": json.dumps(settings)}
    metadata["sha256"] = UNSEALED.decode()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    return sealed(content, _place(content))


def check_rows(rows: list[Row]) -> None:
    """Raises an exception of Arrow unless a part can hold these rows."""
    _table(rows)


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist([{**dict.fromkeys(COLUMNS), **row} for row in rows], schema=ARROW_SCHEMA)


def unpack(content: bytes) -> Part:
    """A part from its bytes; nothing is parsed before the checksum is verified. Raises Damaged."""
    if not is_sound(content, _place(content)):
        raise Damaged("its checksum does not match its content")
    with _parsing():
        metadata = pq.read_metadata(pa.BufferReader(content)).metadata
        return Part(metadata[b"status"].decode(), json.loads(metadata[b"settings"]), content)


@contextmanager
def _parsing() -> Iterator[None]:
    """Turns the errors of parsers into Damaged."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise Damaged(" ".join(str(error).split())) from error


def _place(content: bytes) -> int:
    """The offset of the checksum. Raises Damaged when there is none."""
    found = content.rfind(_SEAL)
    if found < 0:
        raise Damaged("it has no checksum")
    return found + len(_SEAL)
