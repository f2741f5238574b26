"""How often an estimator calls and differentiates f."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..sources.draws.draws import Draws
from .collector import Collector


class Evaluations(Collector):
    """Evaluations and differentiations of f per gradient, counted on f itself."""

    name = "evaluations"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        yield row("evaluations", measured.work.evaluations, 1, direction="lower")
        yield row("differentiations", measured.work.differentiations, 1, direction="lower")
