"""Unfinished timings on disk, block by block, from which a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from ....estimators.names import UsageError
from ...store.files import Damaged, append_file, read_file
from ..source import InFlight
from .stopwatch import Block
from .telemetry import Reading


class Journal(InFlight):
    """The blocks of cells that have rounds left, one JSON line per block: (the cell's part, the block).

    Each line ends in its checksum; a line that is damaged, or that a kill cut short, is ignored. Without a path nothing
    is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def blocks(self) -> dict[str, list[Block]]:
        """Part name -> the blocks measured so far."""
        found: dict[str, list[Block]] = {}
        if self.path is None or not os.path.lexists(self.path):
            return found
        try:
            lines = read_file(self.path).splitlines()
        except Damaged as error:
            raise UsageError(f"{self.path} is damaged ({error}); delete it and run again") from error
        for line in lines:
            content, _, checksum = line.rpartition(b" ")
            if checksum == _checksum(content) and (whole := _block(content)):
                found.setdefault(whole[0], []).append(whole[1])
        return found

    def add(self, part: str, block: Block) -> None:
        if self.path is not None:
            line = json.dumps([part, asdict(block)]).encode()
            append_file(self.path, b"\n" + line + b" " + _checksum(line))  # newline first: a line cut short ends there

    def clear(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _block(content: bytes) -> tuple[str, Block] | None:
    """(the cell's part, the block) of a line; None where the line holds something else."""
    try:
        part, block = json.loads(content)
        if block["reading"] is not None:
            block["reading"] = Reading(**block["reading"] | {"throttled": tuple(block["reading"]["throttled"])})
        return str(part), Block(**block)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()
