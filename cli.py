"""The command line: `dvae-bench COMMAND`. torch is imported only by commands that need it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from dvae_bench import __version__
from dvae_bench.bench.escapes import terminal
from dvae_bench.bench.run.output import complete_output, lasting_output
from dvae_bench.bench.store.files import NO_ROOM
from dvae_bench.commands import catalogue, check, claim, compare, merge, new, report, run, status
from dvae_bench.commands.exits import INTERRUPTED, USAGE
from dvae_bench.commands.stopping import stoppable
from dvae_bench.estimators.names import UsageError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
app.command()(run.run)
app.command()(run.reproduce)
app.command("list")(catalogue.list_)
app.command()(catalogue.show)
app.command()(check.check)
app.command()(new.new)
app.command()(status.status)
app.command()(report.report)
app.command()(report.figures)
app.command()(report.table)
app.command()(merge.merge)
app.command()(claim.claim)
app.command()(compare.compare)
app.command()(compare.history)


def main() -> None:
    """The console script. Exit codes: 0 ok, 1 failing verdict, 2 bad usage, 3 some cells failed, 130 interrupted."""
    with lasting_output():
        _main()


def _main() -> None:
    try:
        with stoppable(), complete_output():
            app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UsageError as error:
        typer.echo(f"error: {terminal(str(error))}", err=True)
        sys.exit(USAGE)
    except OSError as error:
        if error.errno is None:
            raise
        where = "" if error.filename is None else f": {str(error.filename)!r}"
        remedy = "make room and run the same command again" if error.errno in NO_ROOM else "give another path"
        typer.echo(f"error: {error.strerror}{where}; {remedy}", err=True)
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
