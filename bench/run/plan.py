"""The plan of a run: the cells of its grid that apply, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...estimators.names import Name, UsageError, nearest
from ...estimators.registry import TASKS, TOY_SOURCES
from ..sources import SOURCES, Source
from .cell import Cell, Place
from .presets import Preset
from .support import refusal


def plan(
    estimators: Iterable[Name],
    tasks: Iterable[Name],
    preset: Preset,
    place: Place,
    seeds: int = 1,
    sources: Iterable[Source] = tuple(SOURCES.values()),
) -> list[Cell]:
    """The cells of the grid that apply, ordered by source and then by seed. sources: in their order, by default all.

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
        if not refusal(estimator, task)
        for seed in range(seeds if source.seeded else 1)
    ]
    return sorted(cells, key=lambda cell: (order.index(cell.source), cell.seed))


def inapplicable(
    estimators: Iterable[Name], tasks: Iterable[Name], sources: Iterable[Source] = tuple(SOURCES.values())
) -> int:
    """How many combinations of estimator, task and source `plan` leaves out."""
    estimators, order = list(estimators), list(sources)
    counts = {task: sum(source in order for source in sources_of(task)) for task in tasks}
    return sum(count for task, count in counts.items() for estimator in estimators if refusal(estimator, task))


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
