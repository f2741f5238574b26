"""One finished cell as the bytes of its file: rows and settings in parquet, sealed by a checksum of the whole."""

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

_SEAL = b"\x18\x06sha256\x18\x40"  # parquet's footer on the seal: a text of 6 bytes, then one of 64
_TYPES = dict(seed=pa.int64(), step=pa.int64(), n=pa.int64(), tuned_steps=pa.int64(), blocks=pa.list_(pa.float64()))
_FLOATS = ("value", "se", "lo", "hi")
ARROW_SCHEMA = pa.schema(
    [(name, pa.float64() if name in _FLOATS else _TYPES.get(name, pa.string())) for name in COLUMNS]
)


class Damaged(ValueError):
    """These bytes are not a part that was written whole; the message says how that is seen."""


@dataclass(frozen=True)
class Part:
    """How a cell ended and what it was measured with; its rows are parsed when asked for."""

    status: str
    settings: Mapping[str, Any]
    content: bytes

    def table(self) -> pa.Table:
        """The rows as ARROW_SCHEMA. Raises Damaged where they are not such rows."""
        with _parsing():
            file = pq.ParquetFile(pa.BufferReader(self.content), page_checksum_verification=True)
            return file.read(use_threads=False).cast(ARROW_SCHEMA).replace_schema_metadata(None)


def pack(key: str, status: str, settings: Mapping[str, Any], rows: list[Row]) -> bytes:
    """A part's bytes."""
    table = pa.Table.from_pylist([{**dict.fromkeys(COLUMNS), **row} for row in rows], schema=ARROW_SCHEMA)
    metadata = {"schema": str(SCHEMA), "key": key, "status": status, "settings": json.dumps(settings)}
    metadata["sha256"] = UNSEALED.decode()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    return sealed(content, _place(content))


def unpack(content: bytes) -> Part:
    """A part from its bytes, of which none is parsed before the seal is found right. Raises Damaged."""
    if not is_sound(content, _place(content)):
        raise Damaged("its checksum is not that of its content")
    with _parsing():
        metadata = pq.read_metadata(pa.BufferReader(content)).metadata
        return Part(metadata[b"status"].decode(), json.loads(metadata[b"settings"]), content)


@contextmanager
def _parsing() -> Iterator[None]:
    """What parsers raise, as Damaged."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise Damaged(" ".join(str(error).split())) from error


def _place(content: bytes) -> int:
    """Where the seal stands. Raises Damaged where there is none."""
    found = content.rfind(_SEAL)
    if found < 0:
        raise Damaged("it has no checksum")
    return found + len(_SEAL)
