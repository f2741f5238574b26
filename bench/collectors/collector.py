"""The contract of a collector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from ..rows import Row


class Collector(ABC):
    """Turns the measurements of one source into rows. The class body has the facts `name` and `source` as literals.

    `measured` is a `Draws` from the source "draws", a list of `Point` from "steps", a `Timings` from "clock".
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def rows(self, measured: Any) -> Iterator[Row]:
        """The rows, made with `dvae_bench.row`."""
