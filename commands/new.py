"""`new`: the package of a new plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..estimators.names import UsageError


def new(
    kind: Annotated[str, typer.Argument(help="estimator.")],
    name: Annotated[str, typer.Argument(help="Its name in every command and table, such as my-estimator.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default: a folder of that name here.")
    ] = None,
) -> None:
    """Write an installable package with a working estimator, yours to change."""
    from ..bench.scaffold import new_estimator

    if kind != "estimator":
        raise UsageError(f"cannot write a new {kind!r}; run `dvae-bench new estimator NAME`")
    files = new_estimator(name, output)
    for path in files:
        typer.echo(path)
    plugin = next(path for path in files if path.suffix == ".py")
    typer.echo(f"it works as written: dvae-bench check --plugin {plugin}")
