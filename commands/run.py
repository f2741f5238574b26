"""`run` measures a grid of cells, `reproduce` a protocol. Finished cells are reused."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..estimators.names import UsageError
from ..estimators.registry import COLLECTORS, ESTIMATORS, TASKS, matches
from .execution import Address, Executor, Isolate, Jobs, Memory, Timeout, execution
from .exits import FAILED, INTERRUPTED
from .plugins import add_plugins
from .speed import Autocast, Compile, CudaGraphs, at_speed, speed

if TYPE_CHECKING:
    from ..bench.run.executors import Execution
    from ..bench.run.screen import Screen
    from ..bench.run.session import Session

MOST = 1000
"""Of seeds and of threads, so that a mistyped number is refused before the plan takes all memory."""
OwnImages = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of your own images in MNIST's place: two IDX files, named as MNIST's."),
]


def run(
    estimators: Annotated[
        list[str], typer.Option("-e", "--estimators", help="Names, globs, name:key=value, or all.")
    ] = ["all"],
    tasks: Annotated[
        list[str], typer.Option("-t", "--tasks", help="As for estimators, or toy, vae; default: the preset's tasks.")
    ] = [],
    exclude: Annotated[
        list[str], typer.Option("-x", "--exclude", help="Leave out these estimators, tasks or collectors.")
    ] = [],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, xpu, ...")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Results folder; default: results/PRESET.")
    ] = None,
    preset: Annotated[str, typer.Option(help="quick, standard or paper; see `list presets`.")] = "quick",
    seeds: Annotated[int, typer.Option(min=1, max=MOST, help="Seeds 0 to N - 1 for draws and training.")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps instead of the preset's; evaluated ten times.")
    ] = None,
    target_elbo: Annotated[
        float | None, typer.Option(help="A test ELBO; measure how long training takes to reach it.")
    ] = None,
    basket: Annotated[
        list[str], typer.Option(help="Estimators whose bias and variance are also measured along every training run.")
    ] = [],
    jobs: Jobs = 1,
    executor: Executor = "local",
    address: Address = "auto",
    isolate: Isolate = False,
    timeout: Timeout = None,
    memory: Memory = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: measure the I-th of N shards, without a report; see `merge`.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=MOST, help="CPU threads per process; use 1 for timings.")] = 1,
    autocast: Autocast = "no",
    compiled: Compile = False,
    cuda_graphs: CudaGraphs = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of MNIST's IDX files.")] = None,
    data: OwnImages = None,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with estimators, tasks or collectors.")] = [],
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure finished cells again.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write a Chrome trace of each training step into the folder's traces/.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write no tables, figures or page; `report` does it later.")
    ] = False,
) -> None:
    """Measure estimators on tasks, then write tables, figures and the page; finished cells are reused."""
    from ..bench.run.fork_server import start_server
    from ..bench.run.presets import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if target_elbo is not None and not math.isfinite(target_elbo):
        raise UsageError(f"--target-elbo must be a finite number, got {target_elbo}")
    for path in plugin:
        add_plugins(path)
    excluded = set[str]()

    def left_out(name: str) -> bool:
        found = {pattern for pattern in exclude if fnmatchcase(name, pattern)}
        excluded.update(found)
        return bool(found)

    for collector in [plugin for plugin in COLLECTORS if plugin.origin and left_out(plugin.name)]:
        COLLECTORS.forget(collector.name)
    chosen = ESTIMATORS.select(estimators, left_out)
    on = TASKS.select(tasks or PRESETS[preset].tasks, left_out)
    for pattern in exclude:
        if pattern not in excluded and not any(matches(name, pattern) for name in (*chosen, *on)):
            raise UsageError(f"--exclude {pattern!r} matches none of the selected estimators and tasks")
        chosen = [name for name in chosen if not matches(name, pattern)]
        on = [name for name in on if not matches(name, pattern)]
    on = at_speed(on, speed(autocast, compiled, cuda_graphs))
    used = [*(ESTIMATORS.find(name.family) for name in chosen), *(TASKS.find(name.family) for name in on)]
    if any(found.origin for found in used):
        start_server()

    from ..bench.run.screen import Screen
    from ..bench.run.session import Session
    from ..bench.run.shard import Shard
    from ..tasks.vae.datasets import look_in

    if data is not None and data_dir is not None:
        raise UsageError("--data is a folder of your own images, --data-dir one of MNIST; give one of them")
    folder_of_images = data if data_dir is None else data_dir
    look_in(None if folder_of_images is None else str(folder_of_images), own=data is not None)

    settings = PRESETS[preset].trained(steps) if steps else PRESETS[preset]
    settings = settings.watched(target_elbo, tuple(map(str, ESTIMATORS.select(basket))))
    how, part = execution(jobs, executor, address, isolate, timeout, memory), Shard.parse(shard) if shard else None
    folder = output or Path("results") / (f"{preset}-shard-{part.index}-of-{part.count}" if part else preset)
    session = Session.prepare(chosen, on, settings, seeds, device, threads, folder)
    if part:
        session.cells = part.of(session.cells)
    screen = Screen(session, how.slots)
    screen.plan(fresh)
    if dry_run:
        return
    counts = _measure(session, screen, fresh, how)
    if part is None and not no_report:
        screen.finish(counts)
    else:
        screen.counted(counts)
    if trace:
        screen.traced(session.trace(screen.say))
    if counts.get("error"):
        raise typer.Exit(FAILED)


def reproduce(
    protocol: Annotated[str, typer.Argument(help="A protocol's name (see `list protocols`) or TOML file.")],
    estimators: Annotated[list[str], typer.Option("-e", "--estimators", help="Only these estimators.")] = [],
    settings: Annotated[
        list[str], typer.Option("--setting", help="Only these settings, the columns of the paper's table; globs.")
    ] = [],
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of a scaled-down run.")] = None,
    budget: Annotated[str | None, typer.Option(help="Scale down to this time: 90s, 2m, 1.5h.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Reporting seeds; default: the protocol's.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of each random search; default: the protocol's.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, xpu, ...")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Results folder; default: results/PROTOCOL.")
    ] = None,
    jobs: Jobs = 1,
    executor: Executor = "local",
    address: Address = "auto",
    isolate: Isolate = False,
    timeout: Timeout = None,
    memory: Memory = None,
    threads: Annotated[int, typer.Option(min=1, max=MOST, help="CPU threads per process.")] = 1,
    autocast: Autocast = "no",
    compiled: Compile = False,
    cuda_graphs: CudaGraphs = False,
    data: OwnImages = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure finished cells again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would cost here and stop.")] = False,
) -> None:
    """Run a published protocol and print its numbers beside ours; finished cells are reused."""
    from ..bench import protocols
    from ..bench.protocols.excerpt import only
    from ..bench.protocols.reproduce import Reproduction, at_paths
    from ..bench.run.screen import Screen
    from ..tasks.vae.datasets import look_in

    look_in(None if data is None else str(data), own=data is not None)

    how = execution(jobs, executor, address, isolate, timeout, memory)
    paths = speed(autocast, compiled, cuda_graphs)
    part = at_paths(only(protocols.load(protocol), estimators, settings), paths)
    whole = Reproduction.prepare(part, steps, seeds, trials, device, threads, output)
    whole.forecast(budget, typer.echo)
    if dry_run:
        return
    parts = []
    for session in whole.sessions():
        screen = Screen(session, how.slots)
        screen.plan(fresh)
        parts.append(_measure(session, screen, fresh, how))
    screen.finish(parts[-1], *whole.tables())
    if any(counts.get("error") for counts in parts):
        raise typer.Exit(FAILED)


def _measure(session: Session, screen: Screen, fresh: bool, how: Execution) -> dict[str, int]:
    """Measure the session's cells and show progress; Ctrl-C and SIGTERM exit with 130 and keep finished cells."""
    try:
        return session.run(screen.progress(), fresh, how)
    except KeyboardInterrupt:
        screen.interrupted()
        raise typer.Exit(INTERRUPTED) from None
    except Exception:
        screen.bar.stop()
        raise
