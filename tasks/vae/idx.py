"""IDX files of images: the format of MNIST and of data sets that come in its place."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

HEADER, IMAGES = 16, b"\0\0\x08\x03"
LARGEST = 1 << 28  # bytes of our largest file, uncompressed, with a margin: no more is read, whatever a mirror sends
MOST, PIECE = 1 << 32, 1 << 24  # bytes of a file of other images; read in pieces, since a header may say anything


def uncompressed(path: Path, most: int | None = None) -> bytes:
    """A file's bytes, gzipped or not, at most `most`, or else LARGEST; none if the gzip is damaged."""
    try:
        with path.open("rb") as plain, gzip.open(plain) if _is_gzip(plain) else plain as file:
            left, pieces = LARGEST if most is None else most, list[bytes]()
            while piece := file.read(min(left, PIECE)):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return b""


def size(payload: bytes) -> tuple[int, int, int]:
    """How many images a file says it has, their height and their width; zeros if it is no IDX file of images."""
    if payload[:4] != IMAGES or len(payload) < HEADER:
        return 0, 0, 0
    count, height, width = struct.unpack(">3i", payload[4:HEADER])
    return (count, height, width) if min(count, height, width) > 0 else (0, 0, 0)


def whole(path: Path) -> bytes:
    """The bytes of as many images as a file says it has, up to MOST, and one byte more if there is any."""
    count, height, width = size(uncompressed(path, HEADER))
    return uncompressed(path, min(MOST, HEADER + count * height * width + 1) if count else None)


def is_whole(payload: bytes) -> bool:
    """Whether the uncompressed bytes of a file are the images that it says it has, and no more."""
    count, height, width = size(payload)
    return count > 0 and len(payload) == HEADER + count * height * width


def contents(payload: bytes) -> str:
    """What the uncompressed bytes of a file are, in words."""
    if not payload:
        return "nothing that can be read (an empty file, or a damaged gzip)"
    count, height, width = size(payload)
    if not count:
        return f"{len(payload)} bytes that are no IDX file of images"
    images, whole = f"{count} images of {height} x {width} pixels", HEADER + count * height * width
    return images if len(payload) == whole else f"{len(payload)} of the {whole} bytes of {images}"


def pixels(payload: bytes) -> Tensor:
    """The images of a whole file, uint8 [N, height * width]."""
    _, height, width = size(payload)
    return torch.frombuffer(bytearray(payload), dtype=torch.uint8, offset=HEADER).view(-1, height * width)


def _is_gzip(file: BinaryIO) -> bool:
    start = file.read(2)
    file.seek(0)
    return start == b"\x1f\x8b"
