"""The options for where cells are measured and within which limits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from ..estimators.names import UsageError

if TYPE_CHECKING:
    from ..bench.run.executors import Execution

EXECUTORS = ("local", "ray")

Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Parallel processes; timings come last, one at a time.")]
Executor = Annotated[str, typer.Option(help="local, or ray: the machines of a Ray cluster.")]
Address = Annotated[str, typer.Option(help="Address of the Ray cluster; auto: the cluster of this machine.")]
Isolate = Annotated[bool, typer.Option("--isolate", help="Measure each cell in a fresh process.")]
Timeout = Annotated[str | None, typer.Option(help="Stop a cell after this time (90s, 2m, 1.5h); its status is error.")]
Memory = Annotated[str | None, typer.Option(help="Memory a process may allocate for measuring: 500M, 4G.")]


def execution(
    jobs: int, executor: str, address: str, isolate: bool, timeout: str | None, memory: str | None
) -> Execution:
    """The execution these options ask for. Raises UsageError where they exclude each other or are malformed."""
    from ..bench.protocols.forecast import duration
    from ..bench.run.executors import Execution, Limits
    from ..bench.run.executors.limits import size

    if executor not in EXECUTORS:
        raise UsageError(f"unknown executor {executor!r}; choose one of {', '.join(EXECUTORS)}")
    if executor == "ray" and jobs > 1:
        raise UsageError("--jobs is for processes on this machine; a Ray cluster measures as many cells as it has CPUs")
    if executor == "local" and jobs > (cores := available_cores()):
        typer.echo(f"warning: {jobs} jobs share {cores} cores, which takes longer than -j {cores}", err=True)
    limits = Limits(isolate, duration(timeout) if timeout else None, size(memory) if memory else None)
    return Execution(jobs, limits, address if executor == "ray" else None)


def available_cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
