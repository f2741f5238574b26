"""Unfinished timings on disk, block by block, from which a killed run resumes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from ...store.files import writing
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
        if self.path is None or not self.path.is_file():
            return found
        for line in self.path.read_bytes().splitlines():
            content, _, checksum = line.rpartition(b" ")
            if checksum != _checksum(content):
                continue
            part, block = json.loads(content)
            if block["reading"] is not None:
                block["reading"] = Reading(**block["reading"] | {"throttled": tuple(block["reading"]["throttled"])})
            found.setdefault(part, []).append(Block(**block))
        return found

    def add(self, part: str, block: Block) -> None:
        if self.path is not None:
            line = json.dumps([part, asdict(block)]).encode()
            with writing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as file:
                    file.write(b"\n" + line + b" " + _checksum(line))  # newline first: a line cut short ends there

    def clear(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()
