"""Standard output and error that a command outlasts: closed, without a reader, on a full disk, or unable to write µ."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Lasting(io.RawIOBase):
    """Writes to `raw` until that fails, which `lost` then holds; everything after it goes to the null device."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.lost is None:
            try:
                written = self.raw.write(left)
            except OSError as error:
                self.lost = error
                _to_null(self.fileno())  # native code and processes started later write there too
            else:
                if written is None:  # the reader made the pipe non-blocking, and the pipe is full
                    select.select([], [self.raw], [])
                left = left[written or 0 :]
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.raw.fileno()

    def isatty(self) -> bool:
        return self.raw.isatty()


def harden_output() -> None:
    """Replace sys.stdout and sys.stderr by streams of the same descriptors whose writing never raises.

    A character that their encoding lacks is written as an escape, `\\xb5` for µ. Streams that belong to no descriptor,
    such as those of a notebook, stay.
    """
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


@contextmanager
def lasting_output() -> Iterator[None]:
    """`harden_output` inside it; afterwards the streams of before."""
    before = sys.stdout, sys.stderr
    harden_output()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


@contextmanager
def complete_output() -> Iterator[None]:
    """Raises the OSError that standard output was lost to, at the end and instead of an exit with 0.

    A reader that wants no more, as in `| head`, is none.
    """
    try:
        yield
    except SystemExit as end:
        sys.stdout.flush()
        lost = getattr(getattr(sys.stdout, "buffer", None), "lost", None)
        if not end.code and lost is not None and lost.errno != errno.EPIPE:
            lost.filename = "standard output"
            raise lost from None
        raise


def _lasting(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:  # Python's mark of a closed descriptor, which the next file to be opened would get
        _to_null(descriptor)
        return open(descriptor, "w", encoding="utf-8", closefd=False)
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase) or isinstance(raw, Lasting):
        return stream
    stream.flush()
    errors = "backslashreplace" if stream.errors in ("strict", "surrogateescape") else stream.errors
    buffering = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return io.TextIOWrapper(Lasting(raw), stream.encoding, errors, **buffering)  # type: ignore[type-var, arg-type]


def _to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
