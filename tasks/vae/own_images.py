"""Images of one's own in MNIST's place: two IDX files, whose checksum names them in every row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ...estimators.names import UsageError
from . import idx


def read_own(train: Path, test: Path, known: Mapping[tuple[str, ...], str]) -> tuple[str, Tensor, Tensor, int, int]:
    """The name, training and test images [N, height * width], height and width.

    known: the names of data sets by the SHA-256 of their two files; any other is named "own-" and the start of the
    SHA-256 of the two. Raises UsageError for a file that is not whole, and for images of two sizes.
    """
    paths = (train, test)
    payloads = [idx.whole(path) for path in paths]
    for path, payload in zip(paths, payloads, strict=True):
        if not idx.is_whole(payload):
            raise UsageError(
                f"{path} is no whole IDX file of images, one byte per pixel: found {idx.contents(payload)}; "
                "write it again"
            )
    (_, height, width), (_, *other) = map(idx.size, payloads)
    if [height, width] != other:
        found = ", ".join(f"{path} has {idx.contents(payload)}" for path, payload in zip(paths, payloads, strict=True))
        raise UsageError(f"{found}: give both the same size")
    sums = tuple(hashlib.sha256(payload).hexdigest() for payload in payloads)
    name = known.get(sums, f"own-{hashlib.sha256(''.join(sums).encode()).hexdigest()[:12]}")
    return name, idx.pixels(payloads[0]), idx.pixels(payloads[1]), height, width
