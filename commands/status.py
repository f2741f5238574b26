"""`status`: how far a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..bench.escapes import terminal


def status(folder: Annotated[Path, typer.Argument(help="The results folder of a run, finished or not.")]) -> None:
    """Show how far a run is: cells done, running and failed, and the time left."""
    from ..bench.run.progress_file import read_state
    from ..bench.run.screen import minutes
    from ..bench.store.store import Store

    store = Store.open(folder)
    state = read_state(folder)
    if state is None:
        ended = [store.status(key) for key in store.stored()]
        typer.echo(f"{len(ended)} cells stored, {ended.count('error')} failed; no run has left a plan here")
        return
    typer.echo(f"{state.done} of {state.total} cells done, {state.failed} failed")
    if state.done == state.total:
        typer.echo("finished")
    elif not state.alive:
        typer.echo(f"stopped, about {minutes(state.seconds_left)} left; the same command goes on")
    else:
        typer.echo(f"running, about {minutes(state.seconds_left)} left: {terminal(', '.join(map(str, state.running)))}")
