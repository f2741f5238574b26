"""Wall-clock time per phase."""

from __future__ import annotations

from collections.abc import Iterator

from .. import statistics as st
from ..rows import Row, row
from ..timing import Timings
from .collector import Collector


class Time(Collector):
    """The median time of each phase and of the whole, with its order-statistic interval."""

    name = "time"
    source = "clock"

    def rows(self, measured: Timings) -> Iterator[Row]:
        for phase, microseconds in measured.phases.items():
            figure = st.median(microseconds)
            yield row(f"time_{phase}", figure, len(microseconds), unit="us", direction="lower")
