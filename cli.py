"""The command line: parses, calls, prints. Only the commands that need torch, seaborn or scipy import them."""

from __future__ import annotations

import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from dvae_bench import __version__
from dvae_bench.bench import protocols
from dvae_bench.estimators.names import Name, UsageError, nearest
from dvae_bench.estimators.registry import COLLECTORS, ESTIMATORS, TASKS, Plugin, matches

if TYPE_CHECKING:
    from dvae_bench.bench.screen import Screen
    from dvae_bench.bench.session import Session

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

FAIL_ON: dict[str, tuple[str, ...]] = {"worse": ("worse",), "unclear": ("worse", "unclear"), "error": ()}
KINDS = {"estimators": ESTIMATORS, "tasks": TASKS, "collectors": COLLECTORS}
WORSE, FAILED = 1, 3


def main() -> None:
    """The console script. Exit codes: 0 ok, 1 verdict, 2 usage, 3 some cells failed, 130 interrupted."""
    try:
        app()
    except UsageError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"error: {error.strerror}: {str(error.filename)!r}; give another path", err=True)
        sys.exit(2)


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


@app.command()
def run(
    estimators: Annotated[
        list[str], typer.Option("-e", "--estimators", help="Names, globs, name:key=value, or all.")
    ] = ["all"],
    tasks: Annotated[
        list[str], typer.Option("-t", "--tasks", help="As for estimators, or toy, vae; default: the preset's tasks.")
    ] = [],
    exclude: Annotated[list[str], typer.Option("-x", "--exclude", help="Leave out these estimators or tasks.")] = [],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, xpu, ...")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Results folder; default: results/PRESET.")
    ] = None,
    preset: Annotated[str, typer.Option(help="quick, standard or paper.")] = "quick",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to N - 1 for draws and training.")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps, in place of the preset's; evaluated ten times.")
    ] = None,
    target_elbo: Annotated[
        float | None, typer.Option(help="A test ELBO: how long does training take to reach it?")
    ] = None,
    basket: Annotated[
        list[str], typer.Option(help="Estimators whose bias and variance are measured along every training too.")
    ] = [],
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, help="Processes side by side; timings come last, alone.")
    ] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each; timings want 1.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of MNIST's IDX files.")] = None,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with estimators, tasks or collectors.")] = [],
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure finished cells again.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write a chrome trace of each training step into the folder's traces/.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Measure estimators on tasks; finished cells are reused. Ends in tables and figures."""
    from dvae_bench.bench.presets import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    for path in plugin:
        _add_plugins(path)
    chosen, on = ESTIMATORS.select(estimators), TASKS.select(tasks or PRESETS[preset].tasks)
    for pattern in exclude:
        if not any(matches(name, pattern) for name in (*chosen, *on)):
            raise UsageError(f"--exclude {pattern!r} matches none of the selected estimators and tasks")
        chosen = [name for name in chosen if not matches(name, pattern)]
        on = [name for name in on if not matches(name, pattern)]
    if data_dir is not None:
        os.environ["DVAE_BENCH_DATA"] = str(data_dir)

    from dvae_bench.bench.screen import Screen
    from dvae_bench.bench.session import Session

    settings = PRESETS[preset].trained(steps) if steps else PRESETS[preset]
    settings = settings.watched(target_elbo, tuple(map(str, ESTIMATORS.select(basket))))
    session = Session.prepare(chosen, on, settings, seeds, device, threads, output or Path("results") / preset)
    screen = Screen(session, jobs)
    screen.plan(fresh)
    if dry_run:
        return
    counts = _measure(session, screen, fresh)
    screen.finish(counts)
    if trace:
        screen.traced(session.trace(screen.say))
    if counts.get("error"):
        raise typer.Exit(FAILED)


@app.command()
def reproduce(
    protocol: Annotated[str, typer.Argument(help="A protocol (see `list protocols`), or a TOML file like theirs.")],
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="Only these methods.")] = ["*"],
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps: scaled down, no reproduction.")] = None,
    budget: Annotated[str | None, typer.Option(help="Scale down to so much time: 90s, 2m, 1.5h.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Reporting seeds; default: the protocol's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, xpu, ...")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Results folder; default: results/PROTOCOL.")
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Processes side by side.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure finished cells again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would cost here and stop.")] = False,
) -> None:
    """Run a published protocol and print its numbers beside ours; finished cells are reused."""
    from dvae_bench.bench.reproduce import Reproduction
    from dvae_bench.bench.screen import Screen

    whole = Reproduction.prepare(protocol, estimators, steps, seeds, device, threads, output)
    whole.forecast(budget, typer.echo)
    if dry_run:
        return
    parts = []
    for session in whole.sessions():
        screen = Screen(session, jobs)
        screen.plan(fresh)
        parts.append(_measure(session, screen, fresh))
    screen.finish(parts[-1], whole.table())
    if any(counts.get("error") for counts in parts):
        raise typer.Exit(FAILED)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="estimators, tasks, collectors, protocols or figures.")] = "estimators",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with plugins.")] = [],
) -> None:
    """List what there is, without importing any of it."""
    if kind == "figures":
        _list_figures(as_json)
        return
    if kind not in (*KINDS, "protocols"):
        raise UsageError(f"cannot list {kind!r}; choose one of {', '.join(KINDS)}, protocols, figures")
    for path in plugin:
        _add_plugins(path)
    plugins = protocols.plugins() if kind == "protocols" else list(KINDS[kind])
    if as_json:
        typer.echo(json.dumps([_facts(p) for p in plugins], indent=1))
        return
    width = max(len(p.name) for p in plugins)
    for p in plugins:
        parameters = ", ".join(f"{key}={rule['default']}" for key, rule in p.facts.get("hyperparameters", {}).items())
        about = p.facts["about"] if p.facts else "third-party; facts on import"
        typer.echo(f"{p.name:{width}}  {about}" + (f"  [{parameters}]" if parameters else ""))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="An estimator, task, collector or protocol.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show one plugin: formula, facts, costs, reference; or a protocol's file."""
    family = Name.parse(name).family
    everything = {p.name: p for p in chain(*KINDS.values(), protocols.plugins())}
    everything |= {alias: p for p in everything.values() for alias in p.facts.get("aliases", ())}
    if family not in everything:
        raise UsageError(f"nothing is called {family!r}{nearest(family, everything)}")
    facts = _facts(everything[family])
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    typer.echo(f"{facts.pop('name')}  ({facts.pop('family')})\n{facts.pop('about', '')}\n\n{facts.pop('doc', '')}\n")
    for key, value in facts.items():
        typer.echo(f"{key}: {_plain(value)}")


@app.command()
def check(
    names: Annotated[
        list[str], typer.Argument(help="As for run --estimators; default: those of --plugin, else all.")
    ] = [],
    plugin: Annotated[list[Path], typer.Option(help="A Python file with estimators.")] = [],
) -> None:
    """Check that estimators keep the contract and their own claims; exits 1 where one does not."""
    added = [found.name for path in plugin for found in _add_plugins(path)]
    chosen = ESTIMATORS.select(names or [name for name in added if name in ESTIMATORS.extra] or ["all"])

    from dvae_bench.bench.check import check as results_of

    failed = False
    for result in results_of(chosen):
        typer.echo(result)
        failed |= result.failed
    if failed:
        raise typer.Exit(WORSE)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders; the first is what others are compared with.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default: the folder itself, if it is one.")
    ] = None,
) -> None:
    """Write a page (index.html), tables (csv, Markdown, LaTeX) and figures (pdf, svg, png) from stored results."""
    from dvae_bench.bench.page.reports import write_reports

    for path in write_reports(folders, output):
        typer.echo(path)


@app.command()
def figures(
    folder: Annotated[Path, typer.Argument(help="The results folder of a run.")],
    names: Annotated[list[str], typer.Argument(help="What `list figures` names; default: all.")] = [],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; default: figures/ in the folder.")
    ] = None,
    style: Annotated[str, typer.Option(help="paper, talk or notebook.")] = "paper",
    columns: Annotated[int, typer.Option(min=1, max=2, help="Columns of the page that a figure spans.")] = 2,
) -> None:
    """Draw figures (pdf, svg, png) from stored results, in the letters and the width of where they go."""
    from dvae_bench.bench.report import write_figures
    from dvae_bench.bench.report.style import STYLES
    from dvae_bench.bench.store import Store

    if style not in STYLES:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    files, notes = write_figures(Store.open(folder).rows(), output or folder / "figures", names or None, style, columns)
    for line in (*files, *notes):
        typer.echo(line)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="The results folder to compare with; with --rerun, a git commit.")],
    new: Annotated[Path, typer.Argument(help="The results folder to judge; with --rerun, a git commit.")],
    fail_on: Annotated[
        str, typer.Option(help="Exit 1 on: worse; unclear (or worse); error: never, only 3 where cells failed.")
    ] = "error",
    md: Annotated[
        Path | None, typer.Option(help="Write the verdicts as Markdown; $GITHUB_STEP_SUMMARY gets them too.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with NEW's plugins, for second looks.")] = [],
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Measure two commits of this checkout alternately, into results/rerun.")
    ] = False,
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="What --rerun measures.")] = ["all"],
    tasks: Annotated[list[str], typer.Option("-t", "--tasks", help="What --rerun measures it on.")] = ["bit-table"],
) -> None:
    """Say what got better or worse from BASE to NEW; what is in doubt is measured once more, with fresh draws."""
    if fail_on not in FAIL_ON:
        raise UsageError(f"cannot fail on {fail_on!r}; choose one of {', '.join(FAIL_ON)}")
    for path in plugin:
        _add_plugins(path)

    from dvae_bench.bench.compare import compare_folders

    if rerun:
        from dvae_bench.bench.compare.rerun import rerun as measure_again

        options = {"-e": estimators, "-t": tasks, "--plugin": [str(path.resolve()) for path in plugin]}
        arguments = [text for option, values in options.items() for value in values for text in (option, value)]
        base, new = measure_again((str(base), str(new)), arguments, Path("results") / "rerun", typer.echo)

    comparison = compare_folders(base, new, md, junit)
    if any(comparison.count()[word] for word in FAIL_ON[fail_on]):
        raise typer.Exit(WORSE)
    if comparison.failed:
        raise typer.Exit(FAILED)


@app.command()
def history(
    metric: Annotated[str, typer.Argument(help="A metric of the stored rows: var_total, bias_rel, operations, ...")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders, of any commits.")],
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="Names or globs.")] = ["*"],
    tasks: Annotated[list[str], typer.Option("-t", "--tasks", help="Names or globs.")] = ["*"],
) -> None:
    """Show a metric over several runs, in the order in which they were started."""
    from dvae_bench.bench.compare.history import history_table

    typer.echo(history_table(metric, folders, estimators, tasks))


def _measure(session: Session, screen: Screen, fresh: bool) -> dict[str, int]:
    """Run the session's cells under its screen; Ctrl-C ends with 130, the finished cells kept."""
    try:
        return session.run(screen.progress(), fresh, screen.jobs)
    except KeyboardInterrupt:
        screen.interrupted()
        raise typer.Exit(130) from None


def _list_figures(as_json: bool) -> None:
    from dvae_bench.bench.report import FIGURES

    if as_json:
        typer.echo(json.dumps([{"name": name, "about": about} for name, about in FIGURES.items()], indent=1))
        return
    width = max(map(len, FIGURES))
    for name, about in FIGURES.items():
        typer.echo(f"{name:{width}}  {about}")


def _add_plugins(path: Path) -> list[Plugin]:
    found = [plugin for registry in KINDS.values() for plugin in registry.add_file(path)]
    if not found:
        raise UsageError(
            f"{path} holds no plugin: a class with a literal `name` that derives from Estimator, Task or Collector"
        )
    return found


def _facts(plugin: Plugin) -> dict[str, Any]:
    return {"name": plugin.name, "family": plugin.family, **plugin.facts}


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


if __name__ == "__main__":
    main()
