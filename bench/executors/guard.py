"""What a plugin may do to the process that measures it: a fresh one each, so many seconds, so many bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...estimators.names import UsageError

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class Guard:
    """isolate: a fresh process for every cell. timeout: seconds of a cell, or between two blocks of a timing.

    memory: bytes of data of a process, on top of what it takes before it measures anything.
    """

    isolate: bool = False
    timeout: float | None = None
    memory: int | None = None

    def limit_memory(self) -> None:
        """Let allocations of this process beyond `memory` fail. Raises UsageError where the system has no such limit.

        What is limited is private writable memory: not address space, of which an accelerator's driver reserves much
        more than there is memory.
        """
        if self.memory is not None:
            try:
                import resource
                from pathlib import Path

                used = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
            except (ImportError, OSError):
                used = None
            if used is None:
                raise UsageError("this system cannot limit a process's memory; leave out --memory")
            limit = self.memory + 1024 * int(used[1])
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def size(text: str) -> int:
    """Bytes of `500M` or `4G`. Raises UsageError on anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip().lower())
    if found is None or not float(found[1]):
        raise UsageError(f"{text!r} is no size; write 500M or 4G")
    return int(float(found[1]) * UNITS[found[2]])
