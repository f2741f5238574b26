"""One of N parts of a plan, for job arrays: every cell is in exactly one, timings of one task in the same."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...estimators.names import UsageError
from .cells import Cell
from .runner import units


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count`, from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/8`. Raises UsageError on anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"{text!r} is no shard; write I/N with I from 1 to N: 1/8 is the first of eight")
        return cls(int(found[1]), int(found[2]))

    def of(self, cells: Iterable[Cell]) -> list[Cell]:
        """Its units of the plan, in their order: as many of each source as other shards have, drawn among them all."""
        whole = list(units(cells))
        drawn = random.Random(0).sample(range(len(whole)), len(whole))
        mine = sorted(drawn, key=lambda place: whole[place][0].source.name)[self.index - 1 :: self.count]
        return [cell for place in sorted(mine) for cell in whole[place]]
