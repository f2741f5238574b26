"""`report`, `figures` and `table`, from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bench.escapes import terminal
from ..estimators.names import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from ..bench.report.view import View


Names = Annotated[list[str], typer.Argument(help="Figures (see `list figures`); default: all.")]
Estimators = Annotated[list[str], typer.Option("-e", "--estimators", help="Only these; names and globs. Repeatable.")]
Tasks = Annotated[list[str], typer.Option("-t", "--tasks", help="Only these tasks; names and globs. Repeatable.")]
Highlight = Annotated[
    list[str], typer.Option("--highlight", help="Estimators that stand out; default: those of plugins. Repeatable.")
]
Label = Annotated[list[str], typer.Option("--label", help="NAME=TEXT: the text shown for an estimator. Repeatable.")]
Order = Annotated[str, typer.Option("--order", help="ranking (best first) or name.")]


def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders; the others are compared with the first.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default, for a single folder: that folder.")
    ] = None,
) -> None:
    """Write a page (index.html), tables (csv, Markdown, LaTeX) and figures (pdf, svg, png) from stored results."""
    from ..bench.reports import write_reports

    for path in write_reports(folders, output, _left_out):
        typer.echo(terminal(str(path)))


def figures(
    folder: Annotated[Path, typer.Argument(help="The results folder of a run.")],
    names: Names = [],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default: figures/ in the folder.")
    ] = None,
    style: Annotated[str, typer.Option(help="paper, talk or notebook.")] = "paper",
    columns: Annotated[int, typer.Option(min=1, max=2, help="Columns of the page that a figure spans.")] = 2,
    estimators: Estimators = [],
    tasks: Tasks = [],
    highlight: Highlight = [],
    label: Label = [],
    order: Order = "ranking",
    most: Annotated[
        int | None,
        typer.Option("--max", min=1, help="Estimators named in a panel; default: 12 in one column, else 40."),
    ] = None,
) -> None:
    """Draw figures (pdf, svg, png) from stored results, in the font size and width of a paper, talk or notebook.

    Beyond --max, the highlighted, the best and the reference estimators are named; the others are grey, with their
    count. A figure is never higher than a page.
    """
    from ..bench.report import write_figures
    from ..bench.report.figures.style import STYLES

    if style not in STYLES:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    view = _view(estimators, tasks, highlight, label, order, most)
    rows = _rows(folder)
    files, notes = write_figures(
        rows, output or folder / "figures", names or None, style, columns, below=output or folder, view=view
    )
    for line in (*files, *notes):
        typer.echo(terminal(str(line)))


def table(
    folder: Annotated[Path, typer.Argument(help="The results folder of a run.")],
    name: Annotated[str, typer.Argument(help="toys, efficiency, training, seeds, exact or failures.")] = "toys",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write csv, Markdown and LaTeX below this folder instead.")
    ] = None,
    columns: Annotated[list[str], typer.Option("--column", help="Show only these columns. Repeatable.")] = [],
    best: Annotated[
        int | None, typer.Option("--best", min=1, help="Only the best of each task, and the highlighted.")
    ] = None,
    estimators: Estimators = [],
    tasks: Tasks = [],
    highlight: Highlight = [],
    label: Label = [],
    order: Order = "ranking",
) -> None:
    """Print a table of stored results, ordered by what it is about: toys by variance, training by ELBO."""
    from ..bench.report import chosen_table, write_tables
    from ..bench.run.grids import console, show_table

    view = _view(estimators, tasks, highlight, label, order, best)
    found = chosen_table(_rows(folder), name, view, columns)
    if not len(found.text):
        raise UsageError(f"the table {name!r} of {folder} is empty: its run measured nothing that belongs there")
    if output is None:
        out = console()
        show_table(found, out)
        out.print(terminal(found.caption), markup=False)
    else:
        for path in write_tables([found], output):
            typer.echo(terminal(str(path)))


def _view(
    estimators: list[str], tasks: list[str], highlight: list[str], labels: list[str], order: str, most: int | None
) -> View:
    from ..bench.report.view import NAME, RANKING, View

    if order not in (RANKING, NAME):
        raise UsageError(f"unknown order {order!r}; choose {RANKING} or {NAME}")
    texts = {}
    for text in labels:
        name, equals, shown = text.rpartition("=")
        if not (name and equals and shown):
            raise UsageError(f"--label {text!r} is not NAME=TEXT, such as mine=Ours")
        texts[name] = shown
    return View(estimators, tasks, highlight, texts, order, most)


def _rows(folder: Path) -> pd.DataFrame:
    """The rows of a run, each part read once, without those that are damaged, which are named on stderr."""
    from ..bench.store.store import Store

    store = Store.open(folder)
    contents = store.read()
    for key in contents.damaged:
        _left_out(store.part(key))
    return contents.rows


def _left_out(part: Path) -> None:
    text = f"left out, damaged: {part}; run the command that measured it again"
    typer.echo(terminal(text), err=True)
