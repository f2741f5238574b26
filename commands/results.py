"""What a results folder holds: `table` prints one of its tables, `status` how far its run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..bench.escapes import terminal
from ..estimators.names import UsageError, nearest


def table(
    folder: Annotated[Path, typer.Argument(help="The results folder of a run.")],
    name: Annotated[str, typer.Argument(help="toys, efficiency, training, seeds or failures.")] = "toys",
) -> None:
    """Print a table of a run in full."""
    from ..bench.report import Study
    from ..bench.report.tables.write import Tables
    from ..bench.run.grids import console, show_table
    from ..bench.store.store import Store

    if name not in Tables._fields:
        raise UsageError(f"no table is called {name!r}{nearest(name, Tables._fields)}; {', '.join(Tables._fields)}")
    study = Study.of(Store.open(folder), str(folder))
    found = getattr(study.tables, name)
    if not len(found.text):
        filled = [each.name for each in study.tables if len(each.text)]
        raise UsageError(f"the table {name!r} of {folder} is empty; it has {', '.join(filled) or 'none'}")
    out = console()
    show_table(found, out)
    out.print(terminal(found.caption), markup=False)


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
