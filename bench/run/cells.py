"""Cells, the units of work, caching and failure; and the grid of a run, which plans them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...estimators.names import Name, UsageError, nearest
from ...estimators.registry import COLLECTORS, ESTIMATORS, TASKS, TOY_SOURCES, Plugin
from ..sources import SOURCES, Source
from ..store.code_hash import ROOT, fingerprint
from .presets import Preset


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where cells are measured.

    device_name: the model name of the device. threads: CPU threads. data: the data set found here, "" if not needed.
    """

    device: str = "cpu"
    device_name: str = ""
    threads: int = 1
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One estimator on one task, measured by one source at one seed in one place, with settings of its source."""

    estimator: Name
    task: Name
    source: Source
    seed: int = 0
    place: Place
    settings: Any

    @property
    def device(self) -> str:
        return self.place.device

    def recipe(self) -> dict[str, Any]:
        """Everything that the numbers depend on, with all defaults resolved; plain JSON."""
        collectors = [plugin for plugin in COLLECTORS if plugin.fact("source") == self.source.name]
        task = TASKS.find(self.task.family)
        shared = {
            "estimator": str(self.estimator),
            "task": str(self.task),
            "task_version": task.fact("version", 1),
            "source": self.source.name,
            "seed": self.seed,
            "settings": asdict(self.settings),
            "dtype": "float32",
            "device": self.place.device,
            "threads": self.place.threads,
            "data": self.place.data,
            "torch": _torch_version(),
            "collectors": sorted(plugin.name for plugin in collectors),
            "code": sorted(_code(p) for p in (ESTIMATORS.find(self.estimator.family), task, *collectors)),
            "source_code": fingerprint(ROOT / self.source.code),
        }
        return shared | ({"device_name": self.place.device_name} if self.source.alone else {})

    def key(self) -> str:
        """SHA-256 of the recipe: independent of the order of a run and, except for timing cells, of the machine."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()

    def part(self) -> str:
        """The name of this cell's part in the store: its key, or its identity when its code cannot be read."""
        try:
            return self.key()
        except (ImportError, OSError, SyntaxError):
            text = f"{self.estimator}-{self.task}-{self.source.name}-{self.seed}"
            return "failed-" + "".join(c if c.isalnum() else "-" for c in text)

    def __str__(self) -> str:
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{self.estimator} on {self.task}, {self.source.name}{seed}"


_torch_version = functools.cache(functools.partial(version, "torch"))


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


def _code(plugin: Plugin) -> str:
    """The fingerprint of a plugin's file, which is found without importing it."""
    if plugin.path is not None:
        return fingerprint(plugin.path)
    spec = importlib.util.find_spec(plugin.module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {plugin.module}, to which the entry point {plugin.name!r} refers")
    return fingerprint(Path(spec.origin))
