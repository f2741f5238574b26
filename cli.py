"""The command line: `dvae-bench COMMAND`. Without torch, until a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from dvae_bench import __version__
from dvae_bench.commands import catalogue, check, compare, merge, report, run
from dvae_bench.commands.exits import USAGE
from dvae_bench.estimators.names import UsageError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
app.command()(run.run)
app.command()(run.reproduce)
app.command("list")(catalogue.list_)
app.command()(catalogue.show)
app.command()(check.check)
app.command()(report.report)
app.command()(report.figures)
app.command()(merge.merge)
app.command()(compare.compare)
app.command()(compare.history)


def main() -> None:
    """The console script. Exit codes: 0 ok, 1 verdict, 2 usage, 3 some cells failed, 130 interrupted."""
    try:
        app()
    except UsageError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(USAGE)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"error: {error.strerror}: {str(error.filename)!r}; give another path", err=True)
        sys.exit(USAGE)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def dvae_bench(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The referee of gradient estimators for discrete latent variables."""


if __name__ == "__main__":
    main()
