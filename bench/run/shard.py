"""Shards of a plan, for job arrays: every cell is in exactly one shard, and all timings of a task are in the same."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...estimators.names import UsageError
from .cell import Cell
from .runner import rounds


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that a text such as `2/8` means. Raises UsageError on anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"{text!r} is not a shard; write I/N with I from 1 to N: 1/8 is the first of eight")
        return cls(int(found[1]), int(found[2]))

    def of(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells of this shard, in the order of the plan.

        Rounds are assigned at random, with a fixed seed, so that all shards have about equally many of each source.
        """
        whole = list(rounds(cells))
        drawn = random.Random(0).sample(range(len(whole)), len(whole))
        mine = sorted(drawn, key=lambda place: whole[place][0].source.name)[self.index - 1 :: self.count]
        return [cell for place in sorted(mine) for cell in whole[place]]
