"""One process that calls functions for this one. Whatever they do to it, this process goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ....estimators.registry import COLLECTORS, ESTIMATORS, TASKS, Plugin
from ....tasks.vae.datasets import Given, data_folder, look_in
from ...sources.timing.clock import steady_host
from ...store.files import Unwritable
from ..fork_server import CONTEXT, start_server, without_main
from ..output import harden_output
from .limits import Limits
from .orphans import end_with_run

REGISTRIES = (ESTIMATORS, TASKS, COLLECTORS)
DIED = "the process that measured it died"

Registered = dict[str, Plugin]
Send = Callable[[Any], None]
"""What a call is given to send something on its way: a sign of life, or a part of its result."""


@dataclass(frozen=True)
class Lost:
    """Why a call has no answer, and whether another try is worthwhile."""

    reason: str
    again: bool = True


@dataclass(frozen=True)
class Answer:
    """What a call returned."""

    value: Any


class Process:
    """A process with `threads` CPU threads, the call that it works on, and the deadline of the call.

    It knows the plugins that are registered here at its start, and imports one at its first use.
    """

    def __init__(self, threads: int, limits: Limits) -> None:
        self.limits, self.deadline, self.sent = limits, float("inf"), list[Any]()
        self.connection, theirs = CONTEXT.Pipe()
        registered = [(registry.third_party, registry.extra) for registry in REGISTRIES]
        arguments = (theirs, data_folder(), threads, registered, limits)
        start_server()
        with without_main():
            self.process = CONTEXT.Process(target=_work, args=arguments)
            self.process.start()
        theirs.close()
        self.channels = (self.connection, self.process.sentinel)

    def submit(self, call: Callable[[Send], Any], restarts: bool = False) -> None:
        """Begin a call. restarts: whether the timeout starts anew with everything that the call sends."""
        self.restarts, self.deadline, self.sent = restarts, float("inf"), []
        with suppress(BrokenPipeError):  # the process died while idle, which `end` reports
            self.connection.send(call)

    def end(self) -> Answer | Lost | None:
        """What the call returned, or Lost; None while it goes on. What it has sent is appended to `sent`."""
        alive = self.process.is_alive()
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Answer):
                    return message
                self.sent.append(message)
                if self.limits.timeout is not None and (self.restarts or self.deadline == float("inf")):
                    self.deadline = time.monotonic() + self.limits.timeout
        except (EOFError, ConnectionResetError):
            alive = False
        if not alive:
            self.process.join()
            return Lost(f"{DIED}: {_cause(self.process.exitcode)}")
        if time.monotonic() > self.deadline:
            return Lost(f"it took longer than the {self.limits.timeout:g} s of --timeout", again=False)
        return None

    def stream(self, call: Callable[[Send], Any]) -> Iterator[Any]:
        """Everything that the call sends, as it comes, then its Answer or Lost; the timeout restarts with each."""
        self.submit(call, restarts=True)
        end = None
        while end is None:
            wait_for([self])
            end = self.end()
            sent, self.sent = self.sent, []
            yield from (each for each in sent if each is not None)
        yield end

    def close(self) -> None:
        """End the process and those that it started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):  # it has not begun, or all of them have ended
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def wait_for(processes: list[Process]) -> None:
    """Wait until one of them has something to tell, or its deadline has passed."""
    nearest = min((process.deadline for process in processes), default=0.0)
    timeout = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
    wait([channel for process in processes for channel in process.channels], timeout)


def _cause(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    name = signal.Signals(-code).name
    return f"{name}, " + ("killed, perhaps for lack of memory" if name == "SIGKILL" else "a crash in native code")


def _work(
    connection: Connection, data: Given, threads: int, registered: list[tuple[Registered, Registered]], limits: Limits
) -> None:
    """The main function of a process: answer calls until the parent closes the connection.

    Interrupts are left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    end_with_run()
    harden_output()
    look_in(*data)
    limits.limit_memory()
    steady_host(threads)
    for registry, (installed, files) in zip(REGISTRIES, registered, strict=True):
        registry.third_party, registry.extra = installed, files
    with suppress(EOFError, Unwritable):  # the parent fails to write too, and reports it
        while True:
            call = connection.recv()
            connection.send(None)
            answer = Answer(call(connection.send))
            sys.stdout.flush()
            connection.send(answer)
