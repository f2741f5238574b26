"""`check`: whether estimators keep the contract and their own claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..estimators.registry import ESTIMATORS
from .exits import VERDICT
from .plugins import add_plugins


def check(
    names: Annotated[
        list[str], typer.Argument(help="As for run --estimators; default: those of --plugin, else all.")
    ] = [],
    plugin: Annotated[list[Path], typer.Option(help="A Python file with estimators.")] = [],
    timeout: Annotated[str, typer.Option(help="A property that takes longer (90s, 2m, 1.5h) has failed.")] = "10m",
) -> None:
    """Check that estimators keep the contract and their own claims; exits with 1 if one does not."""
    added = [found.name for path in plugin for found in add_plugins(path)]
    chosen = ESTIMATORS.select(names or [name for name in added if name in ESTIMATORS.extra] or ["all"])

    from ..bench.run.fork_server import start_server

    start_server()

    from ..bench.check import check as results_of
    from ..bench.protocols.forecast import duration

    failed = False
    for result in results_of(chosen, duration(timeout)):
        typer.echo(result)
        failed |= result.failed
    if failed:
        raise typer.Exit(VERDICT)
