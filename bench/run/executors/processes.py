"""Local processes: each measures one unit after another and stores the parts itself, so that only outcomes are sent.

Where the system has fork servers, processes fork from a server that has imported the package and measured nothing, so
that a fresh process costs milliseconds instead of the seconds of an import.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ....estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from ....tasks.vae.datasets import data_folder, look_in
from ...sources.timing.clock import steady_host
from ...store.files import Unwritable
from ...store.store import Store
from ..output import harden_output
from ..runner import Ended, Progress, Unit, measure_unit
from .limits import Limits
from .orphans import end_with_run
from .scheduling import Lost

REGISTRIES = (ESTIMATORS, TASKS, COLLECTORS)
FORKSERVER = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKSERVER else "spawn")
PRELOADED = f"{__package__}.fork_server"
DIED = "the process that measured it died"


class Processes:
    """At most `jobs` processes with `threads` threads each; implements `Workers`."""

    lone_slots, tries = 1, 2

    def __init__(self, store: Store, threads: int, jobs: int, limits: Limits) -> None:
        if FORKSERVER:
            CONTEXT.set_forkserver_preload([PRELOADED])
        self.slots, self.limits = jobs, limits
        self.work = (store.folder, data_folder(), threads, plugin_files(), limits)
        self.idle: list[Process] = []
        self.busy: list[Process] = []

    def submit(self, unit: Unit) -> None:
        process = self.idle.pop() if self.idle else Process(self.limits, self.work)
        self.busy.append(process)
        process.submit(unit)

    def ended(self) -> list[tuple[Unit, Ended | Lost]]:
        while True:
            nearest = min((process.deadline for process in self.busy), default=0.0)
            timeout = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
            wait([channel for process in self.busy for channel in process.channels], timeout)
            if ended := [(process, end) for process in self.busy if (end := process.end()) is not None]:
                return [(process.unit, self._release(process, end)) for process, end in ended]

    def _release(self, process: Process, end: Ended | Lost) -> Ended | Lost:
        self.busy.remove(process)
        if isinstance(end, Lost) or self.limits.isolate:
            process.kill()
        else:
            self.idle.append(process)
        return end

    def close(self) -> None:
        for process in (*self.idle, *self.busy):
            process.kill()
        self.idle, self.busy = [], []


class Process:
    """A process, the unit it measures, and the deadline of the unit."""

    unit: Unit

    def __init__(self, limits: Limits, work: tuple[Any, ...]) -> None:
        self.limits, self.deadline = limits, float("inf")
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_work, args=(theirs, *work))
        self.process.start()
        theirs.close()
        self.channels = (self.connection, self.process.sentinel)

    def submit(self, unit: Unit) -> None:
        self.unit, self.deadline = unit, float("inf")
        with suppress(BrokenPipeError):  # the process died while idle, which `end` reports
            self.connection.send(unit)

    def end(self) -> Ended | Lost | None:
        """The outcomes of the unit, or Lost; None while it is being measured."""
        alive = self.process.is_alive()
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, list):
                    return message
                self._restart_timeout()
        except (EOFError, ConnectionResetError):
            alive = False
        if not alive:
            self.process.join()
            return Lost(f"{DIED}: {_cause(self.process.exitcode)}")
        if time.monotonic() > self.deadline:
            return Lost(f"it took longer than the {self.limits.timeout:g} s of --timeout", again=False)
        return None

    def _restart_timeout(self) -> None:
        """Start the timeout when the unit begins; in a timing, restart it after each block."""
        if self.limits.timeout is not None and (self.deadline == float("inf") or self.unit[0].source.together):
            self.deadline = time.monotonic() + self.limits.timeout

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def _cause(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    name = signal.Signals(-code).name
    return f"{name}, " + ("killed, perhaps for lack of memory" if name == "SIGKILL" else "a crash in native code")


def plugin_files() -> list[Path]:
    """The files given with --plugin."""
    plugins = (plugin for registry in REGISTRIES for plugin in registry.extra.values())
    return sorted({plugin.path for plugin in plugins if plugin.path is not None})


def add_plugins(files: list[Path]) -> None:
    for path in files:
        for registry in REGISTRIES:
            registry.add_file(path)


def _work(
    connection: Connection,
    folder: Path,
    data: str,
    threads: int,
    plugins: list[Path],
    limits: Limits,
) -> None:
    """The main function of a process: measure units until the parent closes the connection.

    Interrupts are left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_run()
    harden_output()
    look_in(data)
    limits.limit_memory()
    steady_host(threads)
    add_plugins(plugins)
    store = Store(folder)
    heartbeat = Progress(begin=lambda cell: connection.send(0.0), tick=connection.send)
    with suppress(EOFError, Unwritable):  # the parent fails to write too, and reports it
        while True:
            connection.send(measure_unit(connection.recv(), store, heartbeat))
