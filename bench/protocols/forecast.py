"""The time a protocol takes on this machine, from a few timed steps of each method; the scale that fits a budget."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...estimators.names import UsageError
from ..run.cell import Cell
from ..run.executors import HERE
from ..run.runner import Progress
from ..run.screen import minutes
from ..store.store import Store
from .protocol import Method, Protocol
from .scale import Scale, evaluated, settings_at, variants
from .selection import Line

PROBE_STEPS, PROBE_IMAGES = 4, 1000
ENOUGH_STEPS = 10
RESERVED = 0.15  # of a budget, for tables, figures and what a probe does not measure


@dataclass(frozen=True)
class Pace:
    """Seconds of one cell: to start, per training step, and per evaluation of PROBE_IMAGES images in both splits."""

    start: float
    step: float
    evaluation: float


def paces(protocol: Protocol, make: Callable[[Method, str, Scale], Cell]) -> dict[Line, Pace]:
    """The pace of each line, from a training of PROBE_STEPS steps in a temporary folder.

    The training is evaluated in the middle and at the end; only the second half is timed, when everything is warm. A
    line that fails is assumed to cost what its failure took.
    """
    scale = Scale(PROBE_STEPS, 1, sweep=False)
    cells = {(method.method, setting): _probe(make(method, setting, scale)) for method, setting in protocol.lines()}
    spent: dict[Cell, float] = {}
    ticks: dict[Cell, list[float]] = {cell: [] for cell in cells.values()}
    watch = Progress(
        begin=lambda cell: running.append(cell),
        tick=lambda fraction: ticks[running[-1]].append(time.perf_counter()),
        end=lambda cell, status, reason, seconds: spent.update({cell: seconds}),
    )
    running: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        HERE.run(list(dict.fromkeys(cells.values())), store, watch)
        trained = {cell: store.rows([cell.part()]).query("metric == 'seconds'")["value"].to_list() for cell in spent}
    return {line: _pace(spent[cell], ticks[cell], trained[cell]) for line, cell in cells.items()}


def _probe(cell: Cell) -> Cell:
    return replace(cell, settings=replace(cell.settings, evaluations=2, images=PROBE_IMAGES))


def _pace(spent: float, ticks: list[float], trained: list[float]) -> Pace:
    if len(ticks) < 2:
        return Pace(spent, 0.0, 0.0)
    steps, between = trained[1] - trained[0], ticks[1] - ticks[0]
    evaluation = max(0.0, between - steps)
    return Pace(max(0.0, spent - trained[1] - evaluation), steps / (PROBE_STEPS // 2), evaluation)


def cells_of(protocol: Protocol, method: Method, setting: str, scale: Scale) -> int:
    """How many cells a line has: its sweep, if any, on the selection seeds, and its choice on the reporting seeds."""
    sweep = len(variants(protocol, method, setting, scale))
    return scale.seeds + (sweep * len(protocol.selection_seeds) if sweep > 1 else 0)


def seconds(protocol: Protocol, scale: Scale, measured: Mapping[Line, Pace]) -> float:
    """About how many seconds the whole protocol takes.

    The time of an evaluation is proportional to its images, and at least that of a probe.
    """
    settings = settings_at(protocol, scale)
    evaluations = max(settings.evaluations, evaluated(settings) / (2 * PROBE_IMAGES))
    return sum(
        cells_of(protocol, method, setting, scale)
        * (pace.start + pace.step * scale.steps + pace.evaluation * evaluations)
        for method, setting in protocol.lines()
        for pace in [measured[method.method, setting]]
    )


def fitting(protocol: Protocol, most: Scale, budget: float, measured: Mapping[Line, Pace]) -> Scale:
    """The scale with the most steps within a budget of seconds.

    It keeps the whole sweep and all seeds if that leaves ENOUGH_STEPS; otherwise one value of each sweep; otherwise one
    seed as well. Raises UsageError when even that leaves no step.
    """
    available = budget * (1 - RESERVED)
    rungs = (most, replace(most, sweep=False), replace(most, sweep=False, seeds=1))
    for rung in rungs:
        steps = _most_steps(rung.steps, lambda n: seconds(protocol, replace(rung, steps=n), measured) <= available)  # noqa: B023
        if steps >= min(ENOUGH_STEPS, most.steps) or (rung == rungs[-1] and steps):
            return replace(rung, steps=steps)
    least = seconds(protocol, replace(rungs[-1], steps=1), measured) / (1 - RESERVED)
    raise UsageError(
        f"one step of each cell of {protocol.name} takes about {minutes(least)}, and --budget leaves "
        f"{minutes(max(0.0, budget))}; give a larger --budget, or fewer methods with -e"
    )


def _most_steps(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n from 0 to `most` that fits, by bisection: 0 is assumed to fit, and all n below one that does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def duration(text: str) -> float:
    """The seconds that a text such as `90s`, `2m` or `1.5h` means. Raises UsageError on anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{text!r} is not a duration; write, for example, 90s, 2m or 1.5h")
    return value
