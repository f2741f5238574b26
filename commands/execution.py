"""The options that say where cells are measured, and what guards against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..estimators.names import UsageError

if TYPE_CHECKING:
    from ..bench.run.executors import Execution

EXECUTORS = ("local", "ray")

Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Processes side by side; timings come last, alone.")]
Executor = Annotated[str, typer.Option(help="local, or ray: the machines of a Ray cluster.")]
Address = Annotated[str, typer.Option(help="Of the Ray cluster; auto: the one this machine is in.")]
Isolate = Annotated[bool, typer.Option("--isolate", help="Measure each cell in a fresh process.")]
Timeout = Annotated[str | None, typer.Option(help="Give up a cell after 90s, 2m or 1.5h; it is an error.")]
Memory = Annotated[str | None, typer.Option(help="Most that a process may allocate to measure: 500M, 4G.")]


def execution(
    jobs: int, executor: str, address: str, isolate: bool, timeout: str | None, memory: str | None
) -> Execution:
    """What the options ask for. Raises UsageError where they cannot be had together."""
    from ..bench.protocols.forecast import duration
    from ..bench.run.executors import Execution, Limits
    from ..bench.run.executors.limits import size

    if executor not in EXECUTORS:
        raise UsageError(f"unknown executor {executor!r}; choose one of {', '.join(EXECUTORS)}")
    if executor == "ray" and jobs > 1:
        raise UsageError("--jobs is for processes of this machine; a Ray cluster measures as many cells as it has CPUs")
    limits = Limits(isolate, duration(timeout) if timeout else None, size(memory) if memory else None)
    return Execution(jobs, limits, address if executor == "ray" else None)
