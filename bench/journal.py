"""Timings in flight, block by block on disk: a killed run goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from .stopwatch import Block
from .telemetry import Reading


class Journal:
    """Blocks of cells whose rounds are not all made, one JSON line each: (cell's part, block).

    A line that a kill cut short is dropped. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def blocks(self) -> dict[str, list[Block]]:
        """part -> its blocks so far."""
        found: dict[str, list[Block]] = {}
        if self.path is None or not self.path.is_file():
            return found
        for line in self.path.read_text().splitlines():
            try:
                part, block = json.loads(line)
            except ValueError:
                continue
            if block["reading"] is not None:
                block["reading"] = Reading(**block["reading"] | {"throttled": tuple(block["reading"]["throttled"])})
            found.setdefault(part, []).append(Block(**block))
        return found

    def add(self, part: str, block: Block) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write("\n" + json.dumps([part, asdict(block)]))

    def clear(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
