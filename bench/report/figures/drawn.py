"""Which figures a folder already holds, and the inputs of each: the same rows and code give the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...store.code_hash import fingerprint
from ...store.files import Damaged, read_file, read_object, replace_file

LIBRARIES = ("matplotlib", "pandas", "seaborn")


class Drawn:
    """The figures already drawn from these rows; figures drawn from other rows count as absent.

    path: a JSON file that holds for each figure the digest of its inputs and, if it was skipped, the reason. Without
    one nothing is remembered, and every figure has to be drawn.
    """

    def __init__(self, path: Path | None, rows: pd.DataFrame, *look: object) -> None:
        self.path = path
        self.known: dict[str, Any] = {}
        if path is None:
            return
        self.shared = f"{look} {[version(library) for library in LIBRARIES]} {_digest(rows)}"
        if os.path.lexists(path):
            try:
                self.known = read_object(read_file(path))
            except Damaged:  # everything is drawn again
                self.known = {}

    def found(self, name: str, paths: Sequence[Path]) -> str | None:
        """None if the figure has to be drawn, "" if its files are there, else the reason why it was skipped."""
        match self.known.get(name):
            case [of, str(reason)] if of == self._of(name) and (reason or all(map(Path.is_file, paths))):
                return reason
        return None

    def add(self, name: str, reason: str) -> None:
        """Remember that a figure was drawn ("") or the reason why it was skipped. Raises Unwritable."""
        if self.path is not None:
            self.known[name] = [self._of(name), reason]
            replace_file(self.path, json.dumps(self.known, indent=1).encode())

    def _of(self, name: str) -> str:
        """The digest of a figure's inputs: rows, look, versions of the libraries, and code of its module."""
        code = fingerprint(Path(__file__).with_name(f"{name.replace('-', '_')}.py"))
        return hashlib.sha256(f"{self.shared} {code}".encode()).hexdigest()


def _digest(rows: pd.DataFrame) -> str:
    """The digest of all values in order; of blocks as bytes, because pandas cannot hash lists."""
    plain = rows.drop(columns="blocks", errors="ignore")
    found = hashlib.sha256(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    for blocks in rows.get("blocks", ()):
        found.update(b"none" if blocks is None else np.asarray(blocks, dtype=float).tobytes())
    return found.hexdigest()
