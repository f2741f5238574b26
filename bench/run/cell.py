"""A cell: the unit of work, of caching and of failure, and the key of what its numbers depend on."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from ...estimators.names import Name
from ...estimators.plugin import Plugin
from ...estimators.plugin_source import locate
from ...estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from ..sources import Source
from ..store.code_hash import ROOT, fingerprint


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

    @property
    def measured_with(self) -> list[Plugin]:
        """The plugins whose code runs while the cell is measured: its task, its estimator and those of a basket."""
        names = (self.estimator, *map(Name.parse, getattr(self.settings, "basket", ())))
        return [TASKS.find(self.task.family), *(ESTIMATORS.find(name.family) for name in names)]

    @property
    def collectors(self) -> list[Plugin]:
        """The collectors of the cell's source, which run after the measurement."""
        return [plugin for plugin in COLLECTORS if plugin.fact("source") == self.source.name]

    @property
    def origins(self) -> frozenset[str]:
        """The origins of the third-party code that the cell is measured with; empty if all of it is built in."""
        return frozenset(plugin.origin for plugin in self.measured_with if plugin.origin)

    @property
    def loads(self) -> frozenset[str]:
        """The origins of all third-party code that its process has run at the end of the cell."""
        return self.origins | {plugin.origin for plugin in self.collectors if plugin.origin}

    def recipe(self) -> dict[str, Any]:
        """Everything that the numbers depend on, with all defaults resolved; plain JSON."""
        task, *_ = self.measured_with
        collectors = self.collectors
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
            "code": sorted(_code(p) for p in (*self.measured_with, *collectors)),
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


def _code(plugin: Plugin) -> str:
    """The fingerprint of a plugin's file, which is found without importing it."""
    if plugin.path is not None:
        return fingerprint(plugin.path)
    source = locate(plugin.module)
    if source is None:
        raise ModuleNotFoundError(f"no module {plugin.module}, to which the entry point {plugin.name!r} refers")
    return fingerprint(source)
