"""What a collector is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from ..rows import Row


class Collector(ABC):
    """Turns what one source measured into rows. The class body holds the facts `name` and `source` as literals.

    source "draws" hands over a `Draws`, "steps" a list of `Point`, "clock" a `Timings`.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def rows(self, measured: Any) -> Iterator[Row]:
        """Rows made with `dvae_bench.bench.rows.row`."""
