"""Timings in flight, block by block on disk: a killed run goes on where it stopped."""

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
    """Blocks of cells whose rounds are not all made, one JSON line each: (cell's part, block).

    Each line ends in its checksum; one that is damaged, or that a kill cut short, is dropped. Without a path nothing is
    kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def blocks(self) -> dict[str, list[Block]]:
        """part -> its blocks so far."""
        found: dict[str, list[Block]] = {}
        if self.path is None or not self.path.is_file():
            return found
        for line in self.path.read_bytes().splitlines():
            told, _, checksum = line.rpartition(b" ")
            if checksum != _checksum(told):
                continue
            part, block = json.loads(told)
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
                    file.write(b"\n" + line + b" " + _checksum(line))

    def clear(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()
