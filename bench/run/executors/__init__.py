"""Executors measure cells in this process, in local processes, or on a Ray cluster, all with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from ...store.store import Store
from ..cell import Cell
from ..runner import Progress, run_cells
from .limits import Limits
from .processes import Processes
from .scheduling import Workers, measure_apart, run_beside

__all__ = ["HERE", "Execution", "Limits"]


@dataclass(frozen=True)
class Execution:
    """`jobs` local processes in parallel, or the Ray cluster at the address `ray`; `limits` apply to each cell."""

    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    ray: str | None = None

    def run(self, cells: Sequence[Cell], store: Store, progress: Progress, fresh: bool = False) -> dict[str, int]:
        """Measure every cell that is not finished in the store, or every cell if `fresh`.

        Returns counts by status. Raises UsageError when there is no such cluster, and Unwritable.
        """
        if not cells:
            return {}
        if self == HERE:
            with closing(Processes(store, cells[0].place.threads, 1, self.limits, progress.tick)) as workers:
                return run_cells(cells, store, progress, fresh, partial(measure_apart, workers))
        with closing(self._workers(cells[0], store)) as workers:
            return run_beside(cells, store, progress, fresh, workers)

    @property
    def slots(self) -> int:
        """How many cells are measured at the same time."""
        if self.ray is None:
            return self.jobs
        from .ray_cluster import connect

        return connect(self.ray)

    def _workers(self, first: Cell, store: Store) -> Workers:
        if self.ray is None:
            return Processes(store, first.place.threads, self.jobs, self.limits)
        from .ray_cluster import RayCluster

        return RayCluster(self.ray, store, first.place, self.limits)


HERE = Execution()
"""Measures in this process; cells with third-party code in one process for each origin of such code."""
