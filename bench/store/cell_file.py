"""A part, the file of one finished cell: rows and settings in parquet, sealed by a checksum of all its bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..rows import COLUMNS, SCHEMA, Row
from .files import UNSEALED, Damaged, is_sound, read_object, sealed

_SEAL = b"\x18\x06sha256\x18\x40"  # as parquet's footer encodes it: a key of 6 bytes, then a value of 64
_TYPES = dict(seed=pa.int64(), step=pa.int64(), n=pa.int64(), tuned_steps=pa.int64(), blocks=pa.list_(pa.float64()))
_COUNTS = ("seed", "step", "n")
_FLOATS = ("value", "se", "lo", "hi")
ARROW_SCHEMA = pa.schema(
    [(name, pa.float64() if name in _FLOATS else _TYPES.get(name, pa.string())) for name in COLUMNS]
)

MOST_ROWS = 10**6
"""The most rows of a part. A training has thousands; 2 MB can hold 20 million, which take 10 GB once parsed."""
MOST_NUMBERS = 10**7
"""The most numbers in its column of blocks."""
MOST_CHARACTERS = 10**8
"""The most bytes of its texts."""
MOST_SETTINGS = 10**6
"""The most bytes of its settings."""
HUGE = 1e100
_TEXTS = [name for name, kind in zip(ARROW_SCHEMA.names, ARROW_SCHEMA.types, strict=True) if kind == pa.string()]


@dataclass(frozen=True)
class Part:
    """How a cell ended, and its settings; the rows are parsed on demand."""

    status: str
    settings: Mapping[str, Any]
    content: bytes
    footer: pq.FileMetaData

    def table(self) -> pa.Table:
        """The rows in ARROW_SCHEMA. Raises Damaged when the content does not fit it."""
        with _parsing():
            return _rows(_opened(self.content, self.footer), self.content)


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
    with _parsing():
        return _checked(content)[0]


def unpack_rows(content: bytes) -> tuple[Part, pa.Table]:
    """`unpack` and the part's `table` in one pass over the content. Raises Damaged."""
    with _parsing():
        part, file = _checked(content, whole=False)
        return part, _rows(file, content)


def _checked(content: bytes, whole: bool = True) -> tuple[Part, pq.ParquetFile]:
    """The part, and its open file. whole: whether every column is scanned, or only those that can hold more numbers
    than rows, because all are read next. Raises Damaged, and what parsers raise.
    """
    if not is_sound(content, _place(content)):
        raise Damaged("its checksum does not match its content")
    file = _opened(content)
    footer, schema = file.metadata, file.schema  # parsed anew each time that it is asked for
    settings = footer.metadata[b"settings"]
    groups = [footer.row_group(k) for k in range(footer.num_row_groups)]
    rows = max(footer.num_rows, sum(group.num_rows for group in groups))
    if rows > MOST_ROWS:
        raise Damaged(f"it has {rows} rows, more than any cell")
    columns = [schema.column(k) for k in range(len(schema))]
    held = [column.path.partition(".")[0] for column in columns]
    asked = [k for k, name in enumerate(held) if whole or (name in COLUMNS and columns[k].max_repetition_level)]
    # First: Arrow aborts the process where the metadata of a column are asked for and missing.
    file.scan_contents(None if whole else [held[k] for k in asked])
    numbers = max((sum(group.column(k).num_values for group in groups) for k in asked), default=0)
    if numbers > MOST_NUMBERS:
        raise Damaged(f"it has {rows} rows with {numbers} numbers in a column, more than any cell")
    if len(settings) > MOST_SETTINGS:
        raise Damaged(f"its settings have {len(settings)} bytes, more than those of any cell")
    if missing := [name for name in COLUMNS if name not in held]:
        raise Damaged(f"it has no column {', '.join(missing)}")
    return Part(footer.metadata[b"status"].decode(), read_object(settings), content, footer), file


def _opened(content: bytes, footer: pq.FileMetaData | None = None, texts: list[str] | None = None) -> pq.ParquetFile:
    """texts: the columns that stay in dictionaries."""
    return pq.ParquetFile(
        pa.BufferReader(content), metadata=footer, page_checksum_verification=True, read_dictionary=texts
    )


def _rows(file: pq.ParquetFile, content: bytes) -> pa.Table:
    """The rows of an open file, in ARROW_SCHEMA."""
    footer = file.metadata
    size = sum(footer.row_group(k).total_byte_size for k in range(footer.num_row_groups))
    # A long text costs nothing to repeat in a file, so texts that could take much memory stay in dictionaries until
    # their length is known.
    large = footer.num_rows * size > MOST_CHARACTERS
    file = _opened(content, footer, _TEXTS) if large else file
    table = file.read(list(COLUMNS), use_threads=False).select(list(COLUMNS))
    if large and _characters(table) > MOST_CHARACTERS:
        raise Damaged("its texts are longer than those of any cell")
    table = table.replace_schema_metadata(None)
    if table.schema != ARROW_SCHEMA:
        table = table.cast(ARROW_SCHEMA)
    table.validate(full=True)
    return table


def tidied(table: pa.Table) -> pa.Table:
    """The table without what no reader expects, whoever wrote it; the rows of a healthy part stay as they are.

    Missing texts are "", missing or negative counts 0. Numbers beyond HUGE are infinite, because their squares are.
    Blocks are at least two numbers, none beyond HUGE, or there are none.
    """
    for k, name in enumerate(COLUMNS):
        column = table[name]
        if name in _FLOATS:
            column = pc.if_else(pc.greater(pc.abs(column), HUGE), pc.multiply(pc.sign(column), math.inf), column)
        elif name in _COUNTS and (column.null_count or pc.any(pc.less(column, 0)).as_py()):
            column = pc.max_element_wise(column, 0)
        elif name in _TEXTS and column.null_count:
            column = pc.fill_null(column, "")
        table = table.set_column(k, ARROW_SCHEMA.field(name), column)
    blocks = _whole(table["blocks"].combine_chunks())
    return table.set_column(COLUMNS.index("blocks"), ARROW_SCHEMA.field("blocks"), blocks)


def _whole(blocks: pa.ListArray) -> pa.ListArray:
    """The blocks, null where there are fewer than two or one is beyond HUGE."""
    found = pc.fill_null(pc.less(pc.list_value_length(blocks), 2), False)
    huge = pc.greater(pc.abs(pc.list_flatten(blocks)), HUGE)
    odd = pc.unique(pc.list_parent_indices(blocks).filter(pc.and_(huge, pc.is_finite(pc.list_flatten(blocks)))))
    found = pc.or_(found, pc.is_in(pa.array(range(len(blocks)), odd.type), odd))
    return pc.if_else(found, None, blocks)


def _characters(table: pa.Table) -> int:
    """How many bytes the texts of a table take once each row has its own, from the dictionaries alone."""
    found = 0
    for column in table.columns:
        for chunk in column.chunks:
            if isinstance(chunk, pa.DictionaryArray):
                lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                found += pc.sum(lengths).as_py() or 0
    return found


@contextmanager
def _parsing() -> Iterator[None]:
    """Turns the errors of parsers into Damaged."""
    try:
        yield
    except Damaged:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise Damaged(" ".join(str(error).split())) from error


def _place(content: bytes) -> int:
    """The offset of the checksum. Raises Damaged when there is none."""
    found = content.rfind(_SEAL)
    if found < 0:
        raise Damaged("it has no checksum")
    return found + len(_SEAL)
