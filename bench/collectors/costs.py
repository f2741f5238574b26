"""Deterministic costs, for a gate that must not depend on the machine."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..sources.costs import Costs
from ..sources.draws.draws import Draws
from ..sources.timing.stopwatch import Timings
from .collector import Collector


class DrawCosts(Collector):
    """ATen operations, bytes of new storage and host syncs of one call for 8 gradient draws, backward included."""

    name = "costs"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        yield from cost_rows(measured.work.costs)


class StepCosts(Collector):
    """ATen operations, bytes of new storage and host syncs of the gradient of one minibatch in training.

    Also its evaluations and differentiations of f.
    """

    name = "step-costs"
    source = "clock"

    def rows(self, measured: Timings) -> Iterator[Row]:
        if measured.costs is not None and measured.f is not None:
            yield row("evaluations", measured.f.evaluations, 1, direction="lower")
            yield row("differentiations", measured.f.differentiations, 1, direction="lower")
            yield from cost_rows(measured.costs)


def cost_rows(costs: Costs) -> Iterator[Row]:
    yield row("operations", costs.operations, 1, direction="lower")
    yield row("bytes", costs.bytes, 1, unit="bytes", direction="lower")
    yield row("syncs", costs.syncs, 1, direction="lower")
