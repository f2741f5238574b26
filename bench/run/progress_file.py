"""How far a run is, in a small file of its results folder, for `dvae-bench status`."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...estimators.names import UsageError
from ..store.files import Damaged, read_file, read_object, replace_file

EVERY = 1.0
NAME = "progress.json"


@dataclass(frozen=True)
class State:
    """done: cells that have ended, failed ones included. running: the cells in flight, as text.

    process, machine: of the run; 0 once it has ended.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    running: list[str] = field(default_factory=list)
    seconds_left: float = 0.0
    process: int = 0
    machine: str = ""

    @property
    def alive(self) -> bool:
        """Whether its process still runs; taken to be so where it cannot be seen from this machine."""
        if not self.process:
            return False
        if self.machine != platform.node() or os.name != "posix":
            return True
        try:
            os.kill(self.process, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass
        return True


class ProgressFile:
    """Writes the state of this process's run, at most once in EVERY seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, float("-inf")

    def write(self, total: int, done: int, failed: int, running: Iterable[str], left: float, ended: bool) -> None:
        """Raises Unwritable."""
        now = time.monotonic()
        if now - self.last < EVERY and not ended:
            return
        self.last = now
        process = 0 if ended else os.getpid()
        state = State(total, done, failed, list(running), left, process, platform.node())
        replace_file(self.folder / NAME, json.dumps(asdict(state)).encode(), self.folder)


def read_state(folder: Path) -> State | None:
    """The state that a run wrote last; None where no run did. Raises UsageError when the file is damaged."""
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    try:
        found = State(**read_object(read_file(path)))
        whole = all(isinstance(x, int | float) for x in (found.total, found.done, found.failed, found.seconds_left))
        whole &= isinstance(found.process, int)
        if not whole or not isinstance(found.running, list):
            raise TypeError("a field has another type")
    except (Damaged, OSError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}); delete it, the next run writes it again") from error
    return found
