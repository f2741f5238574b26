"""Local processes: each measures one unit after another and stores the parts itself, so that only outcomes are sent.

A process that has run third-party code measures only cells with code of the same origin, since the code may have
changed anything: a library that patches torch when it is imported would make every other estimator look wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...store.store import Store
from ..runner import Ended, Progress, Unit, measure_unit
from .limits import Limits
from .process import REGISTRIES, Answer, Lost, Process, Send, wait_for


class Processes:
    """At most `jobs` busy processes with `threads` threads each; implements `Workers`.

    tick: is given how much of a unit is done; useful with one job only.
    """

    lone_slots, tries = 1, 2

    def __init__(
        self,
        store: Store,
        threads: int,
        jobs: int,
        limits: Limits,
        tick: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        self.store, self.threads, self.slots, self.limits, self.tick = store, threads, jobs, limits, tick
        self.idle: dict[Process, frozenset[str]] = {}
        self.busy: dict[Process, Unit] = {}

    def submit(self, unit: Unit) -> None:
        fitting = (process for process, loaded in self.idle.items() if loaded == unit[0].origins)
        process = next(fitting, None) or Process(self.threads, self.limits)
        self.idle.pop(process, None)
        self.busy[process] = unit
        process.submit(partial(_measure, unit, self.store.folder), restarts=unit[0].source.together)

    def ended(self) -> list[tuple[Unit, Ended | Lost]]:
        while True:
            wait_for(list(self.busy))
            ended = [(process, end) for process in self.busy if (end := process.end()) is not None]
            self._tick()
            if ended:
                return [(self.busy[process], self._release(process, end)) for process, end in ended]

    def _tick(self) -> None:
        for process in self.busy:
            for fraction in filter(None, process.sent):
                self.tick(fraction)
            process.sent = []

    def _release(self, process: Process, end: Answer | Lost) -> Ended | Lost:
        unit = self.busy.pop(process)
        if isinstance(end, Lost) or self.limits.isolate or unit[0].loads != unit[0].origins:
            process.close()
        else:
            self.idle[process] = unit[0].loads
        return end if isinstance(end, Lost) else end.value

    def close(self) -> None:
        for process in (*self.idle, *self.busy):
            process.close()
        self.idle, self.busy = {}, {}


def _measure(unit: Unit, folder: Path, send: Send) -> Ended:
    return measure_unit(unit, Store(folder), Progress(tick=send))


def plugin_files() -> list[Path]:
    """The files given with --plugin."""
    plugins = (plugin for registry in REGISTRIES for plugin in registry.extra.values())
    return sorted({plugin.path for plugin in plugins if plugin.path is not None})


def add_plugins(files: list[Path]) -> None:
    for path in files:
        for registry in REGISTRIES:
            registry.add_file(path)
