"""Two runs, or many: `compare` and `history`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import FAILED, VERDICT
from .plugins import add_plugins


def compare(
    base: Annotated[Path, typer.Argument(help="The results folder to compare with; with --rerun, a git commit.")],
    new: Annotated[Path, typer.Argument(help="The results folder to judge; with --rerun, a git commit.")],
    fail_on: Annotated[
        str, typer.Option(help="worse: exit 1 on worse; unclear: also on unclear; error: on neither; each on missing.")
    ] = "worse",
    gate: Annotated[
        str | None,
        typer.Option(
            help="The metrics that can fail, as bias,variance; the others advise. "
            "Default: all but operations, bytes and, without --rerun, time."
        ),
    ] = None,
    margin: Annotated[
        list[str], typer.Option(help="METRIC=SIZE: a change of this size is the same, as operations=5%.")
    ] = [],
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
    """Report what is missing, worse or better in NEW; doubtful cells are measured once more, with fresh draws."""
    from ..bench.compare import GATING, Gate, compare_folders

    default = [*GATING, "time"] if rerun else GATING
    judged_by = Gate.parse(",".join(default) if gate is None else gate, fail_on, margin)
    for path in plugin:
        add_plugins(path)

    if rerun:
        from ..bench.compare.rerun import rerun as measure_again

        options = {"-e": estimators, "-t": tasks, "--plugin": [str(path.resolve()) for path in plugin]}
        arguments = [text for option, values in options.items() for value in values for text in (option, value)]
        base, new = measure_again((str(base), str(new)), arguments, Path("results") / "rerun", typer.echo)

    comparison = compare_folders(base, new, judged_by, md, junit)
    if not comparison.passed:
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
