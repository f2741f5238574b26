"""Two runs, or many: `compare` and `history`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..estimators.names import UsageError
from .exits import FAILED, VERDICT
from .plugins import add_plugins

FAIL_ON: dict[str, tuple[str, ...]] = {"worse": ("worse",), "unclear": ("worse", "unclear"), "error": ()}


def compare(
    base: Annotated[Path, typer.Argument(help="The results folder to compare with; with --rerun, a git commit.")],
    new: Annotated[Path, typer.Argument(help="The results folder to judge; with --rerun, a git commit.")],
    fail_on: Annotated[
        str, typer.Option(help="worse: exit 1 on worse; unclear: also on unclear; error: only exit 3, if cells failed.")
    ] = "error",
    md: Annotated[
        Path | None, typer.Option(help="Write the verdicts as Markdown; $GITHUB_STEP_SUMMARY gets them too.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with NEW's plugins, for second looks.")] = [],
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Measure two commits of this checkout alternately, into results/rerun.")
    ] = False,
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="The estimators of --rerun.")] = ["all"],
    tasks: Annotated[list[str], typer.Option("-t", "--tasks", help="The tasks of --rerun.")] = ["bit-table"],
) -> None:
    """Report what got better or worse from BASE to NEW; doubtful cells are measured once more, with fresh draws."""
    if fail_on not in FAIL_ON:
        raise UsageError(f"unknown --fail-on {fail_on!r}; choose one of {', '.join(FAIL_ON)}")
    for path in plugin:
        add_plugins(path)

    from ..bench.compare import compare_folders

    if rerun:
        from ..bench.compare.rerun import rerun as measure_again

        options = {"-e": estimators, "-t": tasks, "--plugin": [str(path.resolve()) for path in plugin]}
        arguments = [text for option, values in options.items() for value in values for text in (option, value)]
        base, new = measure_again((str(base), str(new)), arguments, Path("results") / "rerun", typer.echo)

    comparison = compare_folders(base, new, md, junit)
    if any(comparison.count()[word] for word in FAIL_ON[fail_on]):
        raise typer.Exit(VERDICT)
    if comparison.failed:
        raise typer.Exit(FAILED)


def history(
    metric: Annotated[str, typer.Argument(help="A metric of the stored rows: var_total, bias_rel, operations, ...")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders, of any commits.")],
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="Names or globs.")] = ["*"],
    tasks: Annotated[list[str], typer.Option("-t", "--tasks", help="Names or globs.")] = ["*"],
) -> None:
    """Show a metric across several runs, in the order of their start."""
    from ..bench.compare.history import history_table

    typer.echo(history_table(metric, folders, estimators, tasks))
