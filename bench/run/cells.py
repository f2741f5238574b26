"""Cells: the unit of work, of caching and of failure; and the grid that makes them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...estimators.names import Name
from ...estimators.registry import COLLECTORS, ESTIMATORS, TASKS, Plugin
from ..store.code_hash import ROOT, fingerprint
from .presets import Preset

SOURCES = {
    "draws": "bench/sources/draws.py",
    "steps": "bench/sources/training/training.py",
    "clock": "bench/sources/timing/timing.py",
}


@dataclass(frozen=True)
class Cell:
    """One estimator on one task, measured from one source at one seed."""

    estimator: Name
    task: Name
    source: str
    seed: int
    preset: Preset
    device: str
    device_name: str
    data: str
    threads: int

    def settings(self) -> dict[str, Any]:
        """Everything the numbers depend on, resolved; plain JSON."""
        collectors = [plugin for plugin in COLLECTORS if plugin.fact("source") == self.source]
        task = TASKS.find(self.task.family)
        shared = {
            "estimator": str(self.estimator),
            "task": str(self.task),
            "task_version": task.fact("version", 1),
            "source": self.source,
            "seed": self.seed,
            "settings": asdict(self.preset.settings(self.source)),
            "dtype": "float32",
            "device": self.device,
            "threads": self.threads,
            "data": self.data,
            "torch": _torch_version(),
            "collectors": sorted(plugin.name for plugin in collectors),
            "code": sorted(_code(p) for p in (ESTIMATORS.find(self.estimator.family), task, *collectors)),
            "source_code": fingerprint(ROOT / SOURCES[self.source]),
        }
        return shared | ({"device_name": self.device_name} if self.source == "clock" else {})

    def key(self) -> str:
        """SHA-256 of the settings; the same in any order and on any machine, but for timing cells."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()

    def part(self) -> str:
        """The name of this cell's part in the store: its key, or its identity when its code cannot be found."""
        try:
            return self.key()
        except (ImportError, OSError, SyntaxError):
            text = f"{self.estimator}-{self.task}-{self.source}-{self.seed}"
            return "failed-" + "".join(c if c.isalnum() else "-" for c in text)

    def __str__(self) -> str:
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{self.estimator} on {self.task}, {self.source}{seed}"


_torch_version = functools.cache(functools.partial(version, "torch"))


def plan(
    estimators: Iterable[Name],
    tasks: Iterable[Name],
    preset: Preset,
    seeds: int,
    device: str,
    device_name: str,
    data: str,
    threads: int,
) -> list[Cell]:
    """Every cell of the grid: toys before training, timing last."""
    order = {"draws": 0, "steps": 1, "clock": 2}
    estimators = list(estimators)
    cells = [
        Cell(
            estimator,
            task,
            source,
            seed,
            preset,
            device,
            device_name,
            data if needs_data(task) else "",
            threads,
        )
        for task in tasks
        for source in TASKS.find(task.family).fact("sources", ("draws", "clock"))
        for estimator in estimators
        for seed in range(1 if source == "clock" else seeds)
    ]
    return sorted(cells, key=lambda cell: (order[cell.source], cell.seed))


def needs_data(task: Name) -> bool:
    """Whether a task reads MNIST."""
    return bool(TASKS.find(task.family).fact("dataset"))


def _code(plugin: Plugin) -> str:
    """The fingerprint of a plugin's file, found without importing it."""
    if plugin.path is not None:
        return fingerprint(plugin.path)
    spec = importlib.util.find_spec(plugin.module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {plugin.module}, which the entry point {plugin.name!r} names")
    return fingerprint(Path(spec.origin))
