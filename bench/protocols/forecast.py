"""What a protocol costs here, from a few timed steps of each of its methods; and how much of it a budget holds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...estimators.names import UsageError
from ..run.cells import Cell
from ..run.runner import Progress, run_cells
from ..run.screen import minutes
from ..store.store import Store
from .protocol import Method, Protocol
from .scale import Scale, evaluated, settings_at, variants
from .selection import Line

PROBE_STEPS, PROBE_IMAGES = 4, 1000
ENOUGH_STEPS = 10
RESERVED = 0.15  # of a budget, for tables and figures and for what a probe does not see


@dataclass(frozen=True)
class Pace:
    """Seconds of one cell: to start it, for one training step, and for an evaluation of PROBE_IMAGES of two splits."""

    start: float
    step: float
    evaluation: float


def paces(protocol: Protocol, make: Callable[[Method, str, Scale], Cell]) -> dict[Line, Pace]:
    """Each line's pace, by a training of PROBE_STEPS in a folder that is thrown away.

    It is evaluated in the middle and at the end, and what lies between is timed: all of it is warm. A line that fails
    costs what its failure took.
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
        run_cells(list(dict.fromkeys(cells.values())), store, watch)
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
    """How many cells a line takes: the sweep on the selection seeds, where there is one, and the reporting seeds."""
    sweep = len(variants(protocol, method, setting, scale))
    return scale.seeds + (sweep * len(protocol.selection_seeds) if sweep > 1 else 0)


def seconds(protocol: Protocol, scale: Scale, measured: Mapping[Line, Pace]) -> float:
    """About how long the whole takes; evaluations by their images, a small one as long as that of a probe."""
    settings = settings_at(protocol, scale)
    evaluations = max(settings.evaluations, evaluated(settings) / (2 * PROBE_IMAGES))
    return sum(
        cells_of(protocol, method, setting, scale)
        * (pace.start + pace.step * scale.steps + pace.evaluation * evaluations)
        for method, setting in protocol.lines()
        for pace in [measured[method.method, setting]]
    )


def fitting(protocol: Protocol, most: Scale, budget: float, measured: Mapping[Line, Pace]) -> Scale:
    """The scale with the most steps within the budget: the whole sweep and all seeds, if that leaves ENOUGH_STEPS;

    else one value of each sweep; else one seed as well. Raises UsageError where not even that holds one step.
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
        f"{minutes(max(0.0, budget))}; give more, or fewer methods with -e"
    )


def _most_steps(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n from 0 to `most` that fits, where 0 does and a larger n never fits better."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def duration(text: str) -> float:
    """Seconds of `90s`, `2m` or `1.5h`. Raises UsageError on anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{text!r} is no duration; write 90s, 2m or 1.5h")
    return value
