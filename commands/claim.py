"""`claim`: a claim about two estimators, decided by paired trainings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .execution import Jobs, execution
from .exits import FAILED, INTERRUPTED, VERDICT
from .plugins import add_plugins

if TYPE_CHECKING:
    from ..bench.run.session import Session


def claim(
    claim: Annotated[str, typer.Argument(help='"A < B": A ends with the lower -ELBO, as in "reinmax < disarm".')],
    task: Annotated[str, typer.Option("-t", "--task", help="A task that trains, name:key=value.")] = "mnist-vae",
    budget: Annotated[str, typer.Option(help="Train as many seeds as fit into this time: 90s, 10m, 1.5h.")] = "10m",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each seed.")] = 500,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, xpu, ...")] = "auto",
    output: Annotated[Path, typer.Option("-o", "--output", help="Results folder.")] = Path("results") / "claims",
    jobs: Jobs = 1,
    threads: Annotated[int, typer.Option(min=1, max=1000, help="CPU threads per process.")] = 1,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with estimators or tasks.")] = [],
) -> None:
    """Decide a claim about two estimators by paired trainings; finished ones are reused. Exit 0 if it holds, else 1."""
    from ..bench.protocols.forecast import duration

    seconds = duration(budget)
    for path in plugin:
        add_plugins(path)

    from ..bench.advice.claim import HOLDS, Trial
    from ..bench.run.screen import Screen

    how = execution(jobs, "local", "auto", False, None, None)

    def run(session: Session) -> None:
        screen = Screen(session, how.slots)
        if session.unfinished():
            screen.plan(False)
        try:
            session.run(screen.progress(), False, how)
        except KeyboardInterrupt:
            screen.interrupted()
            raise typer.Exit(INTERRUPTED) from None
        finally:
            screen.bar.stop()

    trial = Trial.prepare(claim, task, steps, device, threads, output)
    verdict = trial.run(seconds, run, time.perf_counter)
    for line in verdict.lines:
        typer.echo(line)
    if verdict.failed:
        raise typer.Exit(FAILED)
    if verdict.word != HOLDS:
        raise typer.Exit(VERDICT)
