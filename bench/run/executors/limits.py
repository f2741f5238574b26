"""Limits for the process that measures a plugin: a fresh process per cell, seconds, and bytes of memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ....estimators.names import UsageError

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class Limits:
    """isolate: a fresh process for every cell. timeout: seconds per cell, or between two blocks of a timing.

    memory: bytes of data per process, in addition to those it uses before it measures anything. Raises UsageError when
    the system does not report how many those are.
    """

    isolate: bool = False
    timeout: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and _data() is None:
            raise UsageError("this system cannot limit a process's memory; leave out --memory")

    def limit_memory(self) -> None:
        """Make allocations of this process beyond `memory` fail.

        The limit is on private writable memory, not on address space, because the driver of an accelerator reserves far
        more address space than there is memory.
        """
        used = _data()
        if self.memory is not None and used is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (self.memory + used, self.memory + used))


def _data() -> int | None:
    """Bytes of private writable memory of this process; None where the system does not report them as Linux does."""
    status = Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return 1024 * int(found[1]) if found else None


def size(text: str) -> int:
    """The bytes that a text such as `500M` or `4G` means. Raises UsageError on anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip().lower())
    if found is None or not float(found[1]):
        raise UsageError(f"{text!r} is not a size; write, for example, 500M or 4G")
    return int(float(found[1]) * UNITS[found[2]])
