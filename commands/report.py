"""`report` and `figures`, from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..bench.escapes import terminal
from ..estimators.names import UsageError


def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders; the others are compared with the first.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default, for a single folder: that folder.")
    ] = None,
) -> None:
    """Write a page (index.html), tables (csv, Markdown, LaTeX) and figures (pdf, svg, png) from stored results."""
    from ..bench.reports import write_reports

    for path in write_reports(folders, output):
        typer.echo(terminal(str(path)))
    for folder in folders:
        _sound(folder)


def figures(
    folder: Annotated[Path, typer.Argument(help="The results folder of a run.")],
    names: Annotated[list[str], typer.Argument(help="Figures (see `list figures`); default: all.")] = [],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default: figures/ in the folder.")
    ] = None,
    style: Annotated[str, typer.Option(help="paper, talk or notebook.")] = "paper",
    columns: Annotated[int, typer.Option(min=1, max=2, help="Columns of the page that a figure spans.")] = 2,
) -> None:
    """Draw figures (pdf, svg, png) from stored results, in the font size and width of a paper, talk or notebook."""
    from ..bench.report import write_figures
    from ..bench.report.figures.style import STYLES
    from ..bench.store.store import Store

    if style not in STYLES:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    rows = Store.open(folder).rows(_sound(folder))
    files, notes = write_figures(
        rows, output or folder / "figures", names or None, style, columns, below=output or folder
    )
    for line in (*files, *notes):
        typer.echo(terminal(str(line)))


def _sound(folder: Path) -> list[str]:
    """The keys of a run's cells, without those whose parts are damaged, which are named on stderr."""
    from ..bench.store.store import Store

    store = Store.open(folder)
    keys = store.stored()
    damaged = store.damaged(keys)
    for key in damaged:
        text = f"left out, damaged: {store.part(key)}; run the command that measured it again"
        typer.echo(terminal(text), err=True)
    return [key for key in keys if key not in damaged]
