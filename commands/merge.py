"""Several results folders in one: `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    output: Annotated[Path, typer.Argument(help="The folder to write, or to add to.")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders, such as those of `run --shard`.")],
) -> None:
    """Bring results folders together in one, each cell once; refuses what was measured with different settings."""
    from ..bench.store.merge import merge as bring_together

    merged = bring_together(output, folders)
    for name in merged.differing:
        typer.echo(f"measured twice, the first folder's numbers are kept: {name}")
    typer.echo(f"{merged.cells} cells in {output}; `dvae-bench report {output}` writes tables, figures and the page")
