"""The fork server: a process that has imported the package and run no plugin, from which all other processes fork.

A process then starts in milliseconds instead of the seconds of an import. No torch here, so that a command starts the
server first and the imports of both run at the same time.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

FORKSERVER = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKSERVER else "spawn")
PRELOADED = ["dvae_bench.bench.run.executors.preloaded", "dvae_bench.bench.check.suite"]


def start_server() -> None:
    """Start the fork server, where the system has one and it does not run yet; returns at once."""
    if FORKSERVER:
        from multiprocessing.forkserver import ensure_running

        CONTEXT.set_forkserver_preload(PRELOADED)
        with without_main():
            ensure_running()


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started inside it do not run the main script again, which may lack an `if __name__ == "__main__"`."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
