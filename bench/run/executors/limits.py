"""What a plugin may do to the process that measures it: a fresh one each, so many seconds, so many bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ....estimators.names import UsageError

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class Limits:
    """isolate: a fresh process for every cell. timeout: seconds of a cell, or between two blocks of a timing.

    memory: bytes of data of a process, on top of what it takes before it measures anything. Raises UsageError where
    the system does not tell how much that is.
    """

    isolate: bool = False
    timeout: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and _data() is None:
            raise UsageError("this system cannot limit a process's memory; leave out --memory")

    def limit_memory(self) -> None:
        """Let allocations of this process beyond `memory` fail.

        What is limited is private writable memory: not address space, of which an accelerator's driver reserves much
        more than there is memory.
        """
        used = _data()
        if self.memory is not None and used is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (self.memory + used, self.memory + used))


def _data() -> int | None:
    """Bytes of this process's private writable memory, where Linux tells."""
    status = Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return 1024 * int(found[1]) if found else None


def size(text: str) -> int:
    """Bytes of `500M` or `4G`. Raises UsageError on anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip().lower())
    if found is None or not float(found[1]):
        raise UsageError(f"{text!r} is no size; write 500M or 4G")
    return int(float(found[1]) * UNITS[found[2]])
