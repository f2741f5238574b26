"""The plan of a run: every cell of its grid, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...estimators.names import Name, UsageError, nearest
from ...estimators.registry import TASKS, TOY_SOURCES
from ..sources import SOURCES, Source
from .cell import Cell, Place
from .presets import Preset


def plan(
    estimators: Iterable[Name],
    tasks: Iterable[Name],
    preset: Preset,
    place: Place,
    seeds: int = 1,
    sources: Iterable[Source] = tuple(SOURCES.values()),
) -> list[Cell]:
    """Every cell of the grid, ordered by source and then by seed. sources: in their order, by default all of them.

    Raises UsageError when a task names an unknown source.
    """
    estimators, tasks, order = list(estimators), list(tasks), list(sources)
    cells = [
        Cell(
            estimator=estimator,
            task=task,
            source=source,
            seed=seed,
            place=place if needs_data(task) else replace(place, data=""),
            settings=preset.of(source),
        )
        for task in tasks
        for source in sources_of(task)
        if source in order
        for estimator in estimators
        for seed in range(seeds if source.seeded else 1)
    ]
    return sorted(cells, key=lambda cell: (order.index(cell.source), cell.seed))


def sources_of(task: Name) -> list[Source]:
    """The sources that a task supports. Raises UsageError when the task names an unknown source."""
    names = TASKS.find(task.family).fact("sources", TOY_SOURCES)
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"the task {task.family!r} names an unknown source {name!r}{nearest(name, SOURCES)}")
    return [SOURCES[name] for name in names]


def needs_data(task: Name) -> bool:
    """Whether a task reads MNIST."""
    return bool(TASKS.find(task.family).fact("dataset"))
