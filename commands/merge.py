"""`merge`: several results folders into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..bench.escapes import terminal


def merge(
    output: Annotated[Path, typer.Argument(help="The folder to write, or to add to.")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders, such as those of `run --shard`.")],
) -> None:
    """Merge results folders into one, each cell once; refuses cells measured with different settings or code."""
    from ..bench.store.merge import merge as bring_together

    merged = bring_together(output, folders)
    for name in merged.differing:
        text = f"measured twice with different numbers, of which the first folder's are kept: {name}"
        typer.echo(terminal(text))
    typer.echo(f"{merged.cells} cells in {output}; `dvae-bench report {output}` writes tables, figures and the page")
